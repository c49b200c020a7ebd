#include "transforms/fft.h"

#include <bit>
#include <cmath>
#include <complex>
#include <numbers>

#include "transforms/vector.h"

namespace stamp {
namespace {

using simd::Floats;
constexpr std::int64_t element = 2 * simd::width;

// A factor applied to all columns.
struct Factor {
  float re = 0, im = 0;
};
Factor unit(double turns) {  // exp(-2 pi i turns)
  const double angle = -2 * std::numbers::pi * turns;
  return {static_cast<float>(std::cos(angle)), static_cast<float>(std::sin(angle))};
}

struct Value {
  Floats re, im;
};
[[gnu::always_inline]] inline Value get(const float* p) {
  return {simd::load(p), simd::load(p + simd::width)};
}
[[gnu::always_inline]] inline void put(float* p, Value v) {
  simd::store(p, v.re);
  simd::store(p + simd::width, v.im);
}
[[gnu::always_inline]] inline Value operator+(Value a, Value b) {
  return {a.re + b.re, a.im + b.im};
}
[[gnu::always_inline]] inline Value operator-(Value a, Value b) {
  return {a.re - b.re, a.im - b.im};
}
[[gnu::always_inline]] inline Value times_i(Value a) {
  return {-a.im, a.re};
}
[[gnu::always_inline]] inline Value times(Value a, Factor f) {
  const Floats re = simd::broadcast(f.re), im = simd::broadcast(f.im);
  return {simd::fnma(a.im, im, a.re * re), simd::fma(a.im, re, a.re * im)};
}
[[gnu::always_inline]] inline Value times_conjugate(Value a, Factor f) {
  const Floats re = simd::broadcast(f.re), im = simd::broadcast(f.im);
  return {simd::fma(a.im, im, a.re * re), simd::fnma(a.re, im, a.im * re)};
}

}  // namespace

struct ColumnFft::PowerOfTwo {
  std::int64_t n;
  std::vector<std::vector<Factor>> twiddles;  // by log2 of the stage's length: w^m, w^2m, w^3m for m < length / 4
  std::vector<std::int64_t> positions;        // frequency -> element after forward

  explicit PowerOfTwo(std::int64_t size) : n(size), positions(static_cast<std::size_t>(size)) {
    const int bits = std::countr_zero(static_cast<std::uint64_t>(n));
    twiddles.resize(static_cast<std::size_t>(bits) + 1);
    for (int b = bits; b >= 2; b -= 2) {
      const std::int64_t length = std::int64_t{1} << b;
      auto& table = twiddles[static_cast<std::size_t>(b)];
      for (std::int64_t m = 0; m < length / 4; ++m)
        for (int k = 1; k <= 3; ++k) table.push_back(unit(static_cast<double>(k * m) / static_cast<double>(length)));
    }
    place(0, bits, 0, 1);
  }
  // Frequencies first + step * k of a sub-transform of 2^bits elements that starts at `base`.
  void place(std::int64_t base, int bits, std::int64_t first, std::int64_t step) {
    if (bits == 0) {
      positions[static_cast<std::size_t>(first)] = base;
      return;
    }
    const int radix_bits = bits == 1 ? 1 : 2;
    const std::int64_t part = std::int64_t{1} << (bits - radix_bits);
    for (std::int64_t j = 0; j < (1 << radix_bits); ++j)
      place(base + j * part, bits - radix_bits, first + j * step, step << radix_bits);
  }

  void forward(float* z, int bits) const {
    if (bits == 0) return;
    if (bits == 1) {
      const Value a = get(z), b = get(z + element);
      put(z, a + b);
      put(z + element, a - b);
      return;
    }
    const std::int64_t q = (std::int64_t{1} << (bits - 2)) * element;
    const Factor* w = twiddles[static_cast<std::size_t>(bits)].data();
    for (float* p = z; p < z + q; p += element, w += 3) {
      const Value a = get(p), b = get(p + q), c = get(p + 2 * q), d = get(p + 3 * q);
      const Value ac = a + c, bd = b + d, am = a - c, ib = times_i(b - d);
      put(p, ac + bd);
      put(p + q, times(am - ib, w[0]));
      put(p + 2 * q, times(ac - bd, w[1]));
      put(p + 3 * q, times(am + ib, w[2]));
    }
    for (int j = 0; j < 4; ++j) forward(z + j * q, bits - 2);
  }
  void inverse(float* z, int bits) const {
    if (bits == 0) return;
    if (bits == 1) return forward(z, 1);
    const std::int64_t q = (std::int64_t{1} << (bits - 2)) * element;
    for (int j = 0; j < 4; ++j) inverse(z + j * q, bits - 2);
    const Factor* w = twiddles[static_cast<std::size_t>(bits)].data();
    for (float* p = z; p < z + q; p += element, w += 3) {
      const Value y0 = get(p), y1 = times_conjugate(get(p + q), w[0]);
      const Value y2 = times_conjugate(get(p + 2 * q), w[1]), y3 = times_conjugate(get(p + 3 * q), w[2]);
      const Value even = y0 + y2, odd = y1 + y3, em = y0 - y2, io = times_i(y1 - y3);
      put(p, even + odd);
      put(p + q, em + io);
      put(p + 2 * q, even - odd);
      put(p + 3 * q, em - io);
    }
  }
  int bits() const { return std::countr_zero(static_cast<std::uint64_t>(n)); }
};

// n k = (n^2 + k^2 - (k - n)^2) / 2 turns the transform into a convolution with exp(i pi n^2 / N), done with a
// power of two of at least 2 N - 1.
struct ColumnFft::Chirp {
  std::vector<Factor> chirp;     // exp(-i pi n^2 / N)
  std::vector<Factor> spectrum;  // transform of the conjugate chirp over its length, in the elements' order
};

ColumnFft::ColumnFft(std::int64_t n) : n_(n) {
  if (std::has_single_bit(static_cast<std::uint64_t>(n))) {
    power_ = std::make_unique<PowerOfTwo>(n);
    return;
  }
  const auto m = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(2 * n - 1)));
  power_ = std::make_unique<PowerOfTwo>(m);
  chirp_ = std::make_unique<Chirp>();
  std::vector<std::complex<double>> b(static_cast<std::size_t>(m));
  for (std::int64_t i = 0; i < n; ++i) {
    // Reduced before the division: i^2 / 2n would lose the fraction of a turn.
    const double turns = static_cast<double>(i * i % (2 * n)) / static_cast<double>(2 * n);
    chirp_->chirp.push_back(unit(turns));
    const std::complex<double> conjugate = std::polar(1.0, 2 * std::numbers::pi * turns);
    b[static_cast<std::size_t>(i)] = conjugate;
    if (i > 0) b[static_cast<std::size_t>(m - i)] = conjugate;
  }
  // Radix-2 in double, once: its error must stay below that of the float passes.
  std::vector<std::complex<double>> spectrum(b.size());
  for (std::size_t i = 0; i < b.size(); ++i) {
    std::size_t r = 0;
    for (int k = 0; k < power_->bits(); ++k) r |= ((i >> k) & 1) << (power_->bits() - 1 - k);
    spectrum[r] = b[i];
  }
  for (std::size_t half = 1; half < b.size(); half *= 2)
    for (std::size_t k = 0; k < half; ++k) {
      const auto w = std::polar(1.0, -std::numbers::pi * static_cast<double>(k) / static_cast<double>(half));
      for (std::size_t i = k; i < b.size(); i += 2 * half) {
        const auto t = spectrum[i + half] * w;
        spectrum[i + half] = spectrum[i] - t;
        spectrum[i] += t;
      }
    }
  chirp_->spectrum.resize(b.size());
  for (std::size_t k = 0; k < b.size(); ++k) {
    const auto value = spectrum[k] / static_cast<double>(m);
    chirp_->spectrum[static_cast<std::size_t>(power_->positions[k])] = {static_cast<float>(value.real()),
                                                                        static_cast<float>(value.imag())};
  }
}

ColumnFft::~ColumnFft() = default;

std::size_t ColumnFft::work_floats() const {
  return static_cast<std::size_t>(power_->n * element);
}

std::int64_t ColumnFft::position(std::int64_t frequency) const {
  return chirp_ ? frequency : power_->positions[static_cast<std::size_t>(frequency)];
}

// Swapping real and imaginary parts before and after turns the forward transform into the inverse one.
template <bool Swap>
void ColumnFft::convolve(float* z) const {
  const Factor* chirp = chirp_->chirp.data();
  for (std::int64_t i = 0; i < n_; ++i) {
    Value v = get(z + i * element);
    if constexpr (Swap) std::swap(v.re, v.im);
    put(z + i * element, times(v, chirp[i]));
  }
  for (std::int64_t i = n_; i < power_->n; ++i) put(z + i * element, Value{});
  power_->forward(z, power_->bits());
  for (std::int64_t i = 0; i < power_->n; ++i)
    put(z + i * element, times(get(z + i * element), chirp_->spectrum[static_cast<std::size_t>(i)]));
  power_->inverse(z, power_->bits());
  for (std::int64_t i = 0; i < n_; ++i) {
    Value v = times(get(z + i * element), chirp[i]);
    if constexpr (Swap) std::swap(v.re, v.im);
    put(z + i * element, v);
  }
}

void ColumnFft::forward(float* z) const {
  chirp_ ? convolve<false>(z) : power_->forward(z, power_->bits());
}
void ColumnFft::inverse(float* z) const {
  chirp_ ? convolve<true>(z) : power_->inverse(z, power_->bits());
}

}  // namespace stamp
