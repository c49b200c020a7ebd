// Block formats to float32, bit for bit as ggml's reference routines do it: half scales first become float32, products
// are rounded one by one. This file is compiled without contraction into fused multiply-adds. Specification:
// models 1.5.
#include <cstring>

#include "base/error.h"
#include "formats/dtype.h"

namespace stamp {
namespace {

float float_of_bits(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// IEEE half. Subnormals are m * 2^-24 = (0.5 + m * 2^-24) - 0.5, so that no subnormal float32 is an operand and the
// result does not depend on the processor's denormal mode.
float float_of_half(std::uint16_t half) {
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000U) << 16;
  const std::uint32_t magnitude = half & 0x7FFFU;
  const float subnormal = float_of_bits(0x3F000000U | magnitude) - 0.5F;
  std::uint32_t subnormal_bits;
  std::memcpy(&subnormal_bits, &subnormal, sizeof subnormal_bits);
  const std::uint32_t normal = (magnitude << 13) + (112U << 23);
  const std::uint32_t special = 0x7F800000U | (magnitude << 13);
  const std::uint32_t bits = magnitude < 0x0400U ? subnormal_bits : magnitude >= 0x7C00U ? special : normal;
  return float_of_bits(sign | bits);
}

template <typename T>
T load(const std::uint8_t* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}
float half_at(const std::uint8_t* p) {
  return float_of_half(load<std::uint16_t>(p));
}

// Each function turns the block at `b` into the elements at `y`.

void q4_0(const std::uint8_t* b, float* y) {
  const float d = half_at(b);
  const std::uint8_t* qs = b + 2;
  for (int j = 0; j < 16; ++j) {
    y[j] = static_cast<float>((qs[j] & 15) - 8) * d;
    y[j + 16] = static_cast<float>((qs[j] >> 4) - 8) * d;
  }
}

void q4_1(const std::uint8_t* b, float* y) {
  const float d = half_at(b), m = half_at(b + 2);
  const std::uint8_t* qs = b + 4;
  for (int j = 0; j < 16; ++j) {
    y[j] = static_cast<float>(qs[j] & 15) * d + m;
    y[j + 16] = static_cast<float>(qs[j] >> 4) * d + m;
  }
}

void q5_0(const std::uint8_t* b, float* y) {
  const float d = half_at(b);
  const auto qh = load<std::uint32_t>(b + 2);
  const std::uint8_t* qs = b + 6;
  for (int j = 0; j < 16; ++j) {
    const int low = (qs[j] & 15) | static_cast<int>(((qh >> j) & 1U) << 4);
    const int high = (qs[j] >> 4) | static_cast<int>(((qh >> (j + 16)) & 1U) << 4);
    y[j] = static_cast<float>(low - 16) * d;
    y[j + 16] = static_cast<float>(high - 16) * d;
  }
}

void q5_1(const std::uint8_t* b, float* y) {
  const float d = half_at(b), m = half_at(b + 2);
  const auto qh = load<std::uint32_t>(b + 4);
  const std::uint8_t* qs = b + 8;
  for (int j = 0; j < 16; ++j) {
    const int low = (qs[j] & 15) | static_cast<int>(((qh >> j) & 1U) << 4);
    const int high = (qs[j] >> 4) | static_cast<int>(((qh >> (j + 16)) & 1U) << 4);
    y[j] = static_cast<float>(low) * d + m;
    y[j + 16] = static_cast<float>(high) * d + m;
  }
}

void q8_0(const std::uint8_t* b, float* y) {
  const float d = half_at(b);
  for (int j = 0; j < 32; ++j) y[j] = static_cast<float>(static_cast<std::int8_t>(b[2 + j])) * d;
}

void q2_k(const std::uint8_t* b, float* y) {
  const std::uint8_t* scales = b;
  const std::uint8_t* qs = b + 16;
  const float d = half_at(b + 80), dmin = half_at(b + 82);
  for (int half = 0; half < 2; ++half) {
    for (int k = 0; k < 4; ++k) {
      for (int l = 0; l < 32; ++l) {
        const int group = 8 * half + 2 * k + l / 16;
        const int q = (qs[32 * half + l] >> (2 * k)) & 3;
        const float scale = d * static_cast<float>(scales[group] & 15);
        const float low = dmin * static_cast<float>(scales[group] >> 4);
        y[128 * half + 32 * k + l] = scale * static_cast<float>(q) - low;
      }
    }
  }
}

void q3_k(const std::uint8_t* b, float* y) {
  const std::uint8_t* hmask = b;
  const std::uint8_t* qs = b + 32;
  const std::uint8_t* packed = b + 96;
  const float d = half_at(b + 108);
  float scale[16];
  for (int g = 0; g < 16; ++g) {
    const int low = g < 8 ? packed[g] & 15 : packed[g - 8] >> 4;
    const int high = (packed[8 + g % 4] >> (2 * (g / 4))) & 3;
    scale[g] = d * static_cast<float>((low | (high << 4)) - 32);
  }
  for (int half = 0; half < 2; ++half) {
    for (int k = 0; k < 4; ++k) {
      for (int l = 0; l < 32; ++l) {
        const int code = (qs[32 * half + l] >> (2 * k)) & 3;
        const int q = (hmask[l] >> (4 * half + k)) & 1 ? code : code - 4;
        y[128 * half + 32 * k + l] = scale[8 * half + 2 * k + l / 16] * static_cast<float>(q);
      }
    }
  }
}

struct ScaleAndMin {
  int scale, min;
};
// The 6-bit pair of sub-block j from the 12 packed bytes of Q4_K and Q5_K.
ScaleAndMin scale_and_min(const std::uint8_t* s, int j) {
  if (j < 4) return {s[j] & 63, s[j + 4] & 63};
  return {(s[j + 4] & 15) | ((s[j - 4] >> 6) << 4), (s[j + 4] >> 4) | ((s[j] >> 6) << 4)};
}

void q4_k(const std::uint8_t* b, float* y) {
  const float d = half_at(b), dmin = half_at(b + 2);
  const std::uint8_t* qs = b + 16;
  for (int j = 0; j < 8; ++j) {
    const ScaleAndMin s = scale_and_min(b + 4, j);
    const float scale = d * static_cast<float>(s.scale), low = dmin * static_cast<float>(s.min);
    const int shift = 4 * (j % 2);
    for (int l = 0; l < 32; ++l) y[32 * j + l] = scale * static_cast<float>((qs[32 * (j / 2) + l] >> shift) & 15) - low;
  }
}

void q5_k(const std::uint8_t* b, float* y) {
  const float d = half_at(b), dmin = half_at(b + 2);
  const std::uint8_t* qh = b + 16;
  const std::uint8_t* qs = b + 48;
  for (int j = 0; j < 8; ++j) {
    const ScaleAndMin s = scale_and_min(b + 4, j);
    const float scale = d * static_cast<float>(s.scale), low = dmin * static_cast<float>(s.min);
    const int shift = 4 * (j % 2);
    for (int l = 0; l < 32; ++l) {
      const int q = ((qs[32 * (j / 2) + l] >> shift) & 15) | (((qh[l] >> j) & 1) << 4);
      y[32 * j + l] = scale * static_cast<float>(q) - low;
    }
  }
}

void q6_k(const std::uint8_t* b, float* y) {
  const float d = half_at(b + 208);
  for (int half = 0; half < 2; ++half) {
    const std::uint8_t* ql = b + 64 * half;
    const std::uint8_t* qh = b + 128 + 32 * half;
    const std::uint8_t* sc = b + 192 + 8 * half;
    for (int k = 0; k < 4; ++k) {
      for (int l = 0; l < 32; ++l) {
        const int low = (ql[32 * (k % 2) + l] >> (4 * (k / 2))) & 15;
        const int q = (low | (((qh[l] >> (2 * k)) & 3) << 4)) - 32;
        const float scale = d * static_cast<float>(static_cast<std::int8_t>(sc[2 * k + l / 16]));
        y[128 * half + 32 * k + l] = scale * static_cast<float>(q);
      }
    }
  }
}

template <void (*block)(const std::uint8_t*, float*)>
void blocks(const std::uint8_t* in, std::int64_t columns, BlockShape shape, float* out) {
  for (std::int64_t i = 0; i < columns / shape.elements; ++i) block(in + i * shape.bytes, out + i * shape.elements);
}

void f64_row(const std::uint8_t* in, std::int64_t columns, float* out) {
  for (std::int64_t i = 0; i < columns; ++i) out[i] = static_cast<float>(load<double>(in + 8 * i));
}
void f16_row(const std::uint8_t* in, std::int64_t columns, float* out) {
  for (std::int64_t i = 0; i < columns; ++i) out[i] = half_at(in + 2 * i);
}
void bf16_row(const std::uint8_t* in, std::int64_t columns, float* out) {
  for (std::int64_t i = 0; i < columns; ++i)
    out[i] = float_of_bits(static_cast<std::uint32_t>(load<std::uint16_t>(in + 2 * i)) << 16);
}

void read_row(DType type, const std::uint8_t* in, std::int64_t columns, float* out) {
  const BlockShape shape = block_of(type);
  switch (type) {
    case DType::f64: return f64_row(in, columns, out);
    case DType::f32: std::memcpy(out, in, static_cast<std::size_t>(columns) * 4); return;
    case DType::f16: return f16_row(in, columns, out);
    case DType::bf16: return bf16_row(in, columns, out);
    case DType::q4_0: return blocks<q4_0>(in, columns, shape, out);
    case DType::q4_1: return blocks<q4_1>(in, columns, shape, out);
    case DType::q5_0: return blocks<q5_0>(in, columns, shape, out);
    case DType::q5_1: return blocks<q5_1>(in, columns, shape, out);
    case DType::q8_0: return blocks<q8_0>(in, columns, shape, out);
    case DType::q2_k: return blocks<q2_k>(in, columns, shape, out);
    case DType::q3_k: return blocks<q3_k>(in, columns, shape, out);
    case DType::q4_k: return blocks<q4_k>(in, columns, shape, out);
    case DType::q5_k: return blocks<q5_k>(in, columns, shape, out);
    case DType::q6_k: return blocks<q6_k>(in, columns, shape, out);
    case DType::i64:
    case DType::i32:
    case DType::i16:
    case DType::i8:
    case DType::u8:
    case DType::boolean: break;
  }
}

}  // namespace

void read_rows(const TensorInfo& tensor, std::int64_t first, std::int64_t count, float* out) {
  if (const std::string fault = fault_of_values(tensor); !fault.empty())
    throw DataError(std::string("tensor \"").append(tensor.name).append("\" ").append(fault));
  if (first < 0 || count < 0 || first > tensor.rows() || count > tensor.rows() - first)
    throw Error(ExitCode::internal, "rows " + std::to_string(first) + " to " + std::to_string(first + count) +
                                        " of tensor \"" + tensor.name + "\", which has " +
                                        std::to_string(tensor.rows()));
  if (count == 0) return;
  const std::int64_t columns = tensor.columns();
  const BlockShape shape = block_of(tensor.type);
  const std::int64_t stride = columns / shape.elements * shape.bytes;
  const auto* data = reinterpret_cast<const std::uint8_t*>(tensor.data);
  // Small reads are not worth waking threads for.
#pragma omp parallel for schedule(static) if (count > 1 && count * columns > 65536)
  for (std::int64_t r = 0; r < count; ++r)
    read_row(tensor.type, data + (first + r) * stride, columns, out + r * columns);
}

}  // namespace stamp
