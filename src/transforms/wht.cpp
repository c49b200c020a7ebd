#include "transforms/wht.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "transforms/vector.h"

namespace stamp {
namespace {

using simd::Floats;

std::uint64_t bit_reverse(std::uint64_t v, int bits) {
  std::uint64_t r = 0;
  for (int i = 0; i < bits; ++i) r |= ((v >> i) & 1) << (bits - 1 - i);
  return r;
}

// Unnormalised, natural order, on n rows of one vector of columns; depth first, so that sub-blocks stay in the first
// cache.
void fast_wht(float* t, std::int64_t n) {
  if (n == 2) {
    const Floats a = simd::load(t), b = simd::load(t + simd::width);
    simd::store(t, a + b);
    simd::store(t + simd::width, a - b);
    return;
  }
  if (n < 2) return;
  const std::int64_t q = n / 4 * simd::width;
  for (float* p = t; p < t + q; p += simd::width) {
    const Floats a = simd::load(p), b = simd::load(p + q), c = simd::load(p + 2 * q), d = simd::load(p + 3 * q);
    const Floats ac = a + c, bd = b + d, am = a - c, bm = b - d;
    simd::store(p, ac + bd);
    simd::store(p + q, ac - bd);
    simd::store(p + 2 * q, am + bm);
    simd::store(p + 3 * q, am - bm);
  }
  for (int i = 0; i < 4; ++i) fast_wht(t + i * q, n / 4);
}

class Wht final : public SequenceTransform {
 public:
  explicit Wht(std::int64_t tokens)
      : tokens_(tokens), natural_(static_cast<std::size_t>(tokens)), scale_(static_cast<float>(1 / std::sqrt(tokens))) {
    const int bits = std::countr_zero(static_cast<std::uint64_t>(tokens));
    for (std::uint64_t q = 0; q < static_cast<std::uint64_t>(tokens); ++q)
      natural_[q] = static_cast<std::int64_t>(bit_reverse(q ^ (q >> 1), bits));
  }
  std::int64_t tokens() const override { return tokens_; }
  std::size_t scratch_floats(std::int64_t) const override { return static_cast<std::size_t>(tokens_ * simd::width); }

  void forward(MatrixView x, float* t) const override {
    for (std::int64_t c = 0; c < x.cols; c += simd::width) {
      const std::int64_t w = std::min(simd::width, x.cols - c);
      for (std::int64_t i = 0; i < tokens_; ++i) simd::store(t + i * simd::width, read(x.row(i) + c, w));
      fast_wht(t, tokens_);
      for (std::int64_t i = 0; i < tokens_; ++i) write(x.row(i) + c, simd::load(t + at(i)), w);
    }
  }
  void inverse(MatrixView x, float* t) const override {  // H is symmetric: undo the order, then the same butterflies
    for (std::int64_t c = 0; c < x.cols; c += simd::width) {
      const std::int64_t w = std::min(simd::width, x.cols - c);
      for (std::int64_t i = 0; i < tokens_; ++i) simd::store(t + at(i), read(x.row(i) + c, w));
      fast_wht(t, tokens_);
      for (std::int64_t i = 0; i < tokens_; ++i) write(x.row(i) + c, simd::load(t + i * simd::width), w);
    }
  }

  // Hadamard entries (-1)^popcount(i & j), rows sorted by counting sign changes.
  std::vector<double> matrix() const override {
    const auto s = static_cast<std::size_t>(tokens_);
    std::vector<double> m(s * s);
    for (std::size_t i = 0; i < s; ++i) {
      std::size_t changes = 0;
      const auto entry = [&](std::size_t j) { return std::popcount(i & j) % 2 == 0 ? 1.0 : -1.0; };
      for (std::size_t j = 1; j < s; ++j) changes += entry(j) != entry(j - 1);
      for (std::size_t j = 0; j < s; ++j) m[changes * s + j] = entry(j) / std::sqrt(static_cast<double>(s));
    }
    return m;
  }

 private:
  static Floats read(const float* p, std::int64_t w) {
    return w == simd::width ? simd::load(p) : simd::load_part(p, w);
  }
  void write(float* p, Floats v, std::int64_t w) const {
    v *= simd::broadcast(scale_);
    w == simd::width ? simd::store(p, v) : simd::store_part(p, v, w);
  }
  std::int64_t at(std::int64_t row) const { return natural_[static_cast<std::size_t>(row)] * simd::width; }

  std::int64_t tokens_;
  std::vector<std::int64_t> natural_;  // sequency row -> natural row
  float scale_;
};

std::string refuse_wht(const PlanFacts& facts) {
  if (facts.any_length) return "it needs 2^m tokens and zero-shot questions have any number; use haar or dct";
  if (facts.grid && facts.tokens < 1) return "";  // decided where the image's tokens are known
  if (facts.tokens > 0 && std::has_single_bit(static_cast<std::uint64_t>(facts.tokens))) return "";
  std::string reason = "it needs 2^m tokens and gets " + std::to_string(facts.tokens);
  if (facts.skip_first > 0)
    reason +=
        " (context " + std::to_string(facts.context) + " less skip_first " + std::to_string(facts.skip_first) + ")";
  const bool whole = facts.context > 0 && std::has_single_bit(static_cast<std::uint64_t>(facts.context));
  return reason + (whole && facts.skip_first > 0 ? "; use skip_first: 0, or haar or dct" : "; use haar or dct");
}

}  // namespace

SequenceTransformPlugin wht_plugin() {
  PluginInfo info;
  info.name = "wht";
  info.summary = "Walsh-Hadamard transform in sequency order; 2^m tokens only";
  info.source = "STaMP (arXiv 2510.26771) section 3, WHT; specification methods 2.3 d";
  info.cost = "O(s d log s) additions";
  info.refuse = refuse_wht;
  return {info, [](const SequenceTransformRequest& r) -> std::unique_ptr<SequenceTransform> {
            return std::make_unique<Wht>(r.tokens);
          }};
}

}  // namespace stamp
