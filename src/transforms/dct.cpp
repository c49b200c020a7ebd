#include "transforms/dct.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "transforms/fft.h"
#include "transforms/vector.h"

namespace stamp {
namespace {

using simd::Floats;

// By a Fourier transform of the same length (J. Makhoul, "A fast cosine transform in one and two dimensions", 1980):
// even tokens ascending, odd tokens descending, then C_k = Re(exp(-i pi k / 2s) V_k). The input is real, so one
// complex transform carries two vectors of columns, one in the real and one in the imaginary part.
class Dct final : public SequenceTransform {
 public:
  explicit Dct(std::int64_t tokens) : tokens_(tokens), fft_(tokens) {
    for (std::int64_t k = 0; k < tokens; ++k) {
      const double angle = std::numbers::pi * static_cast<double>(k) / (2.0 * static_cast<double>(tokens));
      const double scale = std::sqrt((k == 0 ? 1.0 : 2.0) / static_cast<double>(tokens));
      const double back = scale / (k == 0 ? 1.0 : 2.0);
      rotation_.push_back({static_cast<float>(scale / 2 * std::cos(angle)),
                           static_cast<float>(scale / 2 * std::sin(angle)), static_cast<float>(back * std::cos(angle)),
                           static_cast<float>(back * std::sin(angle))});
    }
  }
  std::int64_t tokens() const override { return tokens_; }
  std::size_t scratch_floats(std::int64_t) const override { return fft_.work_floats(); }

  void forward(MatrixView x, float* z) const override {
    for (std::int64_t c = 0; c < x.cols; c += pair) {
      const std::int64_t w = std::min(pair, x.cols - c);
      for (std::int64_t n = 0; n < tokens_; ++n) {
        Floats a, b;
        read(x.row(token(n)) + c, w, a, b);
        simd::store(z + n * pair, a);
        simd::store(z + n * pair + simd::width, b);
      }
      fft_.forward(z);
      for (std::int64_t k = 0; k < tokens_; ++k) {
        const float* p = z + fft_.position(k) * pair;
        const float* m = z + fft_.position(k == 0 ? 0 : tokens_ - k) * pair;
        const Floats pr = simd::load(p), pi = simd::load(p + simd::width);
        const Floats mr = simd::load(m), mi = simd::load(m + simd::width);
        const Rotation& r = rotation_[static_cast<std::size_t>(k)];
        const Floats cosine = simd::broadcast(r.cosine), sine = simd::broadcast(r.sine);
        write(x.row(k) + c, w, simd::fma(pr + mr, cosine, (pi - mi) * sine),
              simd::fma(pi + mi, cosine, (mr - pr) * sine));
      }
    }
  }

  // V_k = exp(i pi k / 2s) (C_k - i C_{s-k}), C_s = 0.
  void inverse(MatrixView x, float* z) const override {
    for (std::int64_t c = 0; c < x.cols; c += pair) {
      const std::int64_t w = std::min(pair, x.cols - c);
      for (std::int64_t k = 0; k < tokens_; ++k) {
        Floats a1, b1, a2{}, b2{};
        read(x.row(k) + c, w, a1, b1);
        if (k > 0) read(x.row(tokens_ - k) + c, w, a2, b2);
        const Rotation& r = rotation_[static_cast<std::size_t>(k)];
        const Floats cosine = simd::broadcast(r.back_cosine), sine = simd::broadcast(r.back_sine);
        float* p = z + fft_.position(k) * pair;
        simd::store(p, simd::fma(a1 + b2, cosine, (a2 - b1) * sine));
        simd::store(p + simd::width, simd::fma(b1 - a2, cosine, (a1 + b2) * sine));
      }
      fft_.inverse(z);
      for (std::int64_t n = 0; n < tokens_; ++n)
        write(x.row(token(n)) + c, w, simd::load(z + n * pair), simd::load(z + n * pair + simd::width));
    }
  }

  std::vector<double> matrix() const override {
    const auto s = static_cast<std::size_t>(tokens_);
    std::vector<double> m(s * s);
    for (std::size_t k = 0; k < s; ++k)
      for (std::size_t n = 0; n < s; ++n)
        m[k * s + n] = std::sqrt((k == 0 ? 1.0 : 2.0) / static_cast<double>(s)) *
                       std::cos(std::numbers::pi * (static_cast<double>(n) + 0.5) * static_cast<double>(k) /
                                static_cast<double>(s));
    return m;
  }

 private:
  static constexpr std::int64_t pair = 2 * simd::width;
  struct Rotation {
    float cosine, sine;            // forward: times the orthonormal scale, and 1/2 for splitting the two groups
    float back_cosine, back_sine;  // inverse: times the scale with 1/s of the inverse transform inside
  };
  std::int64_t token(std::int64_t n) const { return 2 * n < tokens_ ? 2 * n : 2 * (tokens_ - n) - 1; }
  static void read(const float* p, std::int64_t w, Floats& a, Floats& b) {
    if (w == pair) {
      a = simd::load(p);
      b = simd::load(p + simd::width);
      return;
    }
    a = simd::load_part(p, std::min(w, simd::width));
    b = w > simd::width ? simd::load_part(p + simd::width, w - simd::width) : Floats{};
  }
  static void write(float* p, std::int64_t w, Floats a, Floats b) {
    if (w == pair) {
      simd::store(p, a);
      simd::store(p + simd::width, b);
      return;
    }
    simd::store_part(p, a, std::min(w, simd::width));
    if (w > simd::width) simd::store_part(p + simd::width, b, w - simd::width);
  }

  std::int64_t tokens_;
  ColumnFft fft_;
  std::vector<Rotation> rotation_;
};

}  // namespace

SequenceTransformPlugin dct_plugin() {
  PluginInfo info;
  info.name = "dct";
  info.summary = "orthonormal cosine basis (DCT-II); any number of tokens";
  info.source = "STaMP (arXiv 2510.26771) section 3, DCT; specification methods 2.3 c";
  info.cost = "O(s d log s) by a fast Fourier transform";
  return {info, [](const SequenceTransformRequest& r) -> std::unique_ptr<SequenceTransform> {
            return std::make_unique<Dct>(r.tokens);
          }};
}

}  // namespace stamp
