#include "engine/self_test.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/mm.h>
#include <fmt/format.h>

#include <chrono>
#include <cmath>

#include "base/seed.h"
#include "quant/grid.h"
#include "quant/sequence_quantizer.h"
#include "transforms/sequence_transform.h"

namespace stamp {

namespace {

std::vector<float> gaussian(std::int64_t n, const char* purpose) {
  RandomStream stream(0, purpose);
  std::vector<float> values(static_cast<std::size_t>(n));
  for (float& v : values) v = static_cast<float>(stream.normal());
  return values;
}

SelfTestResult compare(const std::string& name, const std::vector<double>& got, const std::vector<double>& expected,
                       double tolerance) {
  double worst = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) worst = std::max(worst, std::fabs(got[i] - expected[i]));
  return {name, worst <= tolerance, fmt::format("largest difference {:.2g}, allowed {:.2g}", worst, tolerance)};
}

// [1, 2, 3, 4] under each transform; specification methods 2.3.
SelfTestResult transform(const std::string& name, const Json& options, const std::vector<double>& expected) {
  SequenceTransformRequest request;
  request.tokens = 4;
  request.options = options;
  const auto l = make_sequence_transform(name, request);
  std::vector<float> x{1, 2, 3, 4};
  transform_forward(*l, {x.data(), 4, 1, 1});
  return compare("transform " + name, {x.begin(), x.end()}, expected, 1e-5);
}

// A Gaussian token of 4096 features on the 4-bit grid: 17.1 dB; specification methods 1.2.
SelfTestResult quantizer() {
  const std::int64_t rows = 50, d = 4096;
  const std::vector<float> x = gaussian(rows * d, "self-test quantizer");
  std::vector<float> q(x.size());
  fake_quantize_rows({x.data(), rows, d, d}, Grid{}, {q.data(), rows, d, d});
  double signal = 0, error = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double v = static_cast<double>(x[i]), e = v - static_cast<double>(q[i]);
    signal += v * v;
    error += e * e;
  }
  return compare("quantizer, dB", {10 * std::log10(signal / error)}, {17.1}, 0.15);
}

// The fused sequence quantizer against its dense twin.
SelfTestResult fused() {
  const std::int64_t s = 64, d = 48;
  const std::vector<float> x = gaussian(s * d, "self-test fused");
  SequenceTransformRequest request;
  request.tokens = s;
  request.options = {{"levels", 3}};
  const auto l = make_sequence_transform("haar", request);
  RowBits bits;
  bits.bits.assign(static_cast<std::size_t>(s), 8.0f);
  std::vector<float> fast(x.size()), slow(x.size());
  QuantizerWorkspace workspace;
  quantize_sequence({x.data(), s, d, d}, *l, bits, {}, {fast.data(), s, d, d}, nullptr, workspace);
  quantize_sequence_reference({x.data(), s, d, d}, *l, bits, {}, {slow.data(), s, d, d}, nullptr);
  // A value on the edge between two levels may fall to either side: one step of 8 bits over a range of about 8.
  return compare("fused Haar quantizer", {fast.begin(), fast.end()}, {slow.begin(), slow.end()}, 0.05);
}

SelfTestResult product() {
  const std::int64_t n = 256;
  std::vector<float> a = gaussian(n * n, "self-test a"), b = gaussian(n * n, "self-test b");
  const at::Tensor c = at::mm(at::from_blob(a.data(), {n, n}), at::from_blob(b.data(), {n, n}));
  std::vector<double> expected(static_cast<std::size_t>(n * n), 0.0), got(expected.size());
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t k = 0; k < n; ++k)
      for (std::int64_t j = 0; j < n; ++j)
        expected[static_cast<std::size_t>(i * n + j)] += static_cast<double>(a[static_cast<std::size_t>(i * n + k)]) *
                                                         static_cast<double>(b[static_cast<std::size_t>(k * n + j)]);
  const float* values = c.const_data_ptr<float>();
  for (std::size_t i = 0; i < got.size(); ++i) got[i] = static_cast<double>(values[i]);
  // 256 products of order 1 in float32; bfloat16 or TF32 units would miss this by a factor of ten and more.
  return compare("float32 matrix product", got, expected, 256 * 1.2e-7 * 8);
}

}  // namespace

std::vector<SelfTestResult> self_test() {
  return {transform("haar", {{"levels", 2}}, {5, -2, -0.70711, -0.70711}),
          transform("dct", Json::object(), {5, -2.23044, 0, -0.158513}),
          transform("wht", Json::object(), {5, -2, 0, -1}),
          quantizer(),
          fused(),
          product()};
}

}  // namespace stamp
