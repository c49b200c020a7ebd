#include <cmath>
#include <cstring>
#include <map>
#include <vector>

#include "base/error.h"
#include "formats/checkpoint.h"
#include "formats/dtype.h"
#include "support/catch.h"
#include "support/paths.h"

using namespace stamp;
using stamp::test::fixture;

namespace {

TensorInfo tensor_over(const std::vector<std::uint8_t>& bytes, DType type, std::vector<std::int64_t> shape) {
  TensorInfo info;
  info.name = std::string("sample");
  info.type = type;
  info.shape = std::move(shape);
  info.data = reinterpret_cast<const std::byte*>(bytes.data());
  info.bytes = bytes.size();
  return info;
}

std::vector<std::uint8_t> bytes_of(const std::vector<std::uint16_t>& values) {
  std::vector<std::uint8_t> bytes(2 * values.size());
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

std::uint32_t bits_of(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

// The value of a half from its definition, in double.
double half_by_definition(unsigned half) {
  const int exponent = static_cast<int>((half >> 10) & 31U);
  const double fraction = static_cast<double>(half & 1023U) / 1024.0;
  const double sign = (half & 0x8000U) != 0 ? -1.0 : 1.0;
  if (exponent == 31) return fraction == 0 ? sign * INFINITY : NAN;
  return exponent == 0 ? sign * std::ldexp(fraction, -14) : sign * std::ldexp(1.0 + fraction, exponent - 15);
}

}  // namespace

TEST_CASE("every block format is bit-equal to ggml's own routines", "[formats]") {
  const auto path = fixture("ggml_blocks.safetensors");
  if (!std::filesystem::exists(path)) {
    WARN("skipped: ../shared/fixtures/ggml_blocks.safetensors is absent");
    return;
  }
  const auto file = open_checkpoint(path.string());
  int compared = 0;
  for (int t = 0; t <= static_cast<int>(DType::q6_k); ++t) {
    const auto type = static_cast<DType>(t);
    const std::string name = name_of(type);
    const TensorInfo* raw = nullptr;
    for (const TensorInfo& candidate : file->tensors()) {
      std::string upper = candidate.name;
      for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
      if (upper == "RAW." + name) raw = &candidate;
    }
    if (raw == nullptr) continue;
    const TensorInfo& expected = file->at("out." + raw->name.substr(4));
    const BlockShape block = block_of(type);
    const std::int64_t elements = static_cast<std::int64_t>(raw->bytes) / block.bytes * block.elements;
    REQUIRE(elements == expected.elements());
    TensorInfo quantized = *raw;
    quantized.type = type;
    quantized.shape = {elements / 256, 256};
    std::vector<float> out(static_cast<std::size_t>(elements));
    read_rows(quantized, 0, quantized.rows(), out.data());
    INFO(name);
    CHECK(std::memcmp(out.data(), expected.data, expected.bytes) == 0);
    ++compared;
  }
  CHECK(compared >= 10);
}

TEST_CASE("all 65536 halves", "[formats]") {
  std::vector<std::uint16_t> halves(65536);
  for (std::size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<std::uint16_t>(i);
  const auto bytes = bytes_of(halves);
  std::vector<float> out(halves.size());
  read_rows(tensor_over(bytes, DType::f16, {256, 256}), 0, 256, out.data());
  int wrong = 0;
  for (unsigned i = 0; i < 65536; ++i) {
    const auto expected = static_cast<float>(half_by_definition(i));
    const bool same = std::isnan(expected) ? std::isnan(out[i]) : bits_of(out[i]) == bits_of(expected);
    if (!same) ++wrong;
  }
  CHECK(wrong == 0);
}

TEST_CASE("bfloat16, float64 and part of the rows", "[formats]") {
  const auto bytes = bytes_of({0x3F80, 0xC000, 0x0001, 0x7F80, 0x4049, 0xBF00});
  const TensorInfo info = tensor_over(bytes, DType::bf16, {3, 2});
  std::vector<float> out(4);
  read_rows(info, 1, 2, out.data());
  CHECK(bits_of(out[0]) == 0x00010000U);
  CHECK(std::isinf(out[1]));
  CHECK(out[2] == 3.140625F);
  CHECK(out[3] == -0.5F);

  const std::vector<double> doubles = {1.0 / 3.0, -1e300};
  std::vector<std::uint8_t> raw(16);
  std::memcpy(raw.data(), doubles.data(), 16);
  read_rows(tensor_over(raw, DType::f64, {2}), 0, 1, out.data());
  CHECK(out[0] == 1.0F / 3.0F);
  CHECK(std::isinf(out[1]));
}

TEST_CASE("reading integers or rows that are not there is refused", "[formats]") {
  const std::vector<std::uint8_t> bytes(64);
  float out = 0;
  CHECK_THROWS_AS(read_rows(tensor_over(bytes, DType::i64, {8}), 0, 1, &out), DataError);
  CHECK_THROWS_AS(read_rows(tensor_over(bytes, DType::f32, {4, 4}), 3, 2, &out), Error);
  CHECK_THROWS_AS(read_rows(tensor_over(bytes, DType::f32, {4, 4}), -1, 1, &out), Error);
}
