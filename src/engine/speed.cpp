#include "engine/speed.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linalg_eigh.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/randn.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <vector>

#include "base/parallel.h"
#include "engine/calibration.h"
#include "engine/runtime.h"
#include "formats/checkpoint.h"
#include "models/kernels/attention.h"
#include "models/kernels/elementwise.h"
#include "models/kernels/token_loss.h"
#include "models/linear.h"
#include "models/tensors.h"
#include "quant/grid.h"
#include "quant/sequence_quantizer.h"
#include "transforms/feature_transform.h"

namespace stamp {

namespace {

// Fastest of some runs, the first of which only warms up; about a twentieth of a second each.
double seconds_of(const std::function<void()>& work) {
  using Clock = std::chrono::steady_clock;
  double best = INFINITY, total = 0;
  work();
  for (int run = 0; run < 7 && (run < 3 || total < 0.15); ++run) {
    const Clock::time_point begin = Clock::now();
    work();
    const double s = std::chrono::duration<double>(Clock::now() - begin).count();
    best = std::min(best, s);
    total += s;
  }
  return best;
}

at::Tensor random(std::int64_t rows, std::int64_t cols) {
  return at::randn({rows, cols}, at::TensorOptions(at::kFloat));
}

double linear_flops(std::int64_t width) {
  const std::int64_t rows = 1024, out = std::min<std::int64_t>(width, 2048);
  const at::Tensor x = random(rows, width), weight = pack_weight(random(out, width));
  const double flops = 2.0 * static_cast<double>(rows * out * width);
  return flops / seconds_of([&] { linear(x, weight, {}); });
}

double double_flops() {
  const std::int64_t n = 1024;
  const at::Tensor a = random(n, n).to(at::kDouble), b = random(n, n).to(at::kDouble);
  return 2.0 * static_cast<double>(n * n * n) / seconds_of([&] { at::mm(a, b); });
}

double attention_flops() {
  const std::int64_t n = 1024;
  AttentionShape shape;
  shape.heads = 8;
  shape.kv_heads = 2;
  shape.head_dim = 64;
  shape.scale = 0.125f;
  const at::Tensor q = random(n, 512), k = random(n, 128), v = random(n, 128);
  at::Tensor out = fresh_matrix(n, 512);
  const double keys = static_cast<double>(n) * static_cast<double>(n + 1) / 2;
  return 4 * 512 * keys /
         seconds_of([&] { causal_attention(const_view(q), const_view(k), const_view(v), shape, view(out)); });
}

RowBits four_bits(std::int64_t tokens, std::int64_t high) {
  RowBits bits;
  bits.bits.assign(static_cast<std::size_t>(tokens), 4.0f);
  std::fill_n(bits.bits.begin(), high, 8.0f);
  bits.high_bits = 8;
  bits.high_tokens = high;
  return bits;
}

double quantizer_seconds(const std::string& name, bool statistics) {
  const std::int64_t n = 2048, d = 1024;
  SequenceTransformRequest request;
  request.tokens = n;
  request.high_tokens = 64;
  for (const SequenceTransformPlugin& p : sequence_transforms())
    if (p.info.name == name) request.options = complete_options(p.info, Json::object(), name);
  const auto l = make_sequence_transform(name, request);
  const RowBits bits = four_bits(n, 64);
  at::Tensor x = random(n, d);
  QuantizerWorkspace workspace;
  SlotStatistics sums;
  return seconds_of([&] {
           quantize_sequence(const_view(x), *l, bits, {}, view(x), statistics ? &sums : nullptr, workspace);
         }) /
         static_cast<double>(n * d);
}

double weight_seconds(bool clip_search) {
  WeightGrid grid;
  grid.clip_search = clip_search;
  const at::Tensor weight = random(256, 1024);
  at::Tensor w = contiguous_copy(weight);
  return seconds_of([&] {
           w.copy_(weight);
           fake_quantize_weight(view(w), grid);
         }) /
         static_cast<double>(w.numel());
}

// Bfloat16 rows as a mapped file would have them, into fresh float32 memory, as a loader reads them.
double load_seconds() {
  const std::int64_t rows = 2048, columns = 2048;
  const std::vector<std::uint16_t> stored(static_cast<std::size_t>(rows * columns), 0x3f80);
  TensorInfo info;
  info.type = DType::bf16;
  info.shape = {rows, columns};
  info.data = reinterpret_cast<const std::byte*>(stored.data());
  info.bytes = stored.size() * sizeof(std::uint16_t);
  at::Tensor out = fresh_matrix(rows, columns);
  float* to = out.data_ptr<float>();
  return seconds_of([&] {
#pragma omp parallel for schedule(dynamic, 1)
           for (std::int64_t first = 0; first < rows; first += 64) read_rows(info, first, 64, to + first * columns);
         }) /
         static_cast<double>(out.numel());
}

double exponential_seconds() {
  const std::int64_t rows = 64, vocabulary = 16384;
  const at::Tensor logits = random(rows, vocabulary);
  const std::vector<std::int64_t> targets(static_cast<std::size_t>(rows), 7);
  std::vector<float> losses(static_cast<std::size_t>(rows));
  return seconds_of([&] { token_losses(const_view(logits), targets.data(), losses.data()); }) /
         static_cast<double>(logits.numel());
}

double eigen_seconds() {
  const std::int64_t n = 384;
  const at::Tensor a = random(n, n).to(at::kDouble);
  const at::Tensor symmetric = at::mm(a, a.t());
  return seconds_of([&] { at::linalg_eigh(symmetric); }) / static_cast<double>(n * n * n);
}

}  // namespace

MachineSpeed measure_speed() {
  const c10::InferenceMode no_gradients;
  MachineSpeed s;
  // With the product library at work, which brings code and buffers of its own.
  linear(random(64, 64), pack_weight(random(64, 64)), {});
  s.program_bytes = static_cast<double>(resident_memory_bytes());
  s.threads = threads();
  for (const std::int64_t width : {512, 1536, 4096, 14336}) s.linear[width] = linear_flops(width);
  s.double_product = double_flops();
  s.attention = attention_flops();

  at::Tensor x = random(2048, 1024), y = random(2048, 1024);
  const std::vector<float> ones(1024, 1.0f);
  const auto values = static_cast<double>(x.numel());
  s.row_work = seconds_of([&] { add_rms_norm(view(x), const_view(y), ones.data(), 1e-5f, view(y)); }) / (2 * values);
  s.gate = seconds_of([&] { silu_multiply(view(x), const_view(y)); }) / values;
  x = random(2048, 1024);
  const auto rotation = hadamard(1024);
  s.hadamard = seconds_of([&] { rotation->apply(view(x)); }) / values;
  s.exponential = exponential_seconds();
  for (const SequenceTransformPlugin& p : sequence_transforms())
    if (!p.info.needs_calibration && p.info.name.find("2d") == std::string::npos)
      s.quantizer[p.info.name] = quantizer_seconds(p.info.name, false);
  s.statistics = std::max(1e-12, quantizer_seconds("identity", true) - s.quantizer["identity"]);
  s.clip_search = weight_seconds(true);
  s.rounding = weight_seconds(false);
  s.load = load_seconds();
  const at::Tensor weight = random(2048, 2048);
  s.pack = seconds_of([&] { pack_weight(weight); }) / static_cast<double>(weight.numel());
  s.eigen = eigen_seconds();
  return s;
}

}  // namespace stamp
