#include "transforms/haar.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/option_info.h"
#include "transforms/haar_kernels.h"
#include "transforms/levels.h"
#include "transforms/vector.h"

namespace stamp {

std::int64_t haar_full_depth(std::int64_t tokens) {
  return tokens <= 1 ? 0 : std::bit_width(static_cast<std::uint64_t>(tokens - 1));
}

std::int64_t haar_auto_levels(std::int64_t tokens, std::int64_t high_tokens) {
  const std::int64_t k = high_tokens > 0 ? high_tokens : published_high_rows;
  std::int64_t levels = 0;
  while ((k << (levels + 1)) <= tokens) ++levels;
  return levels;
}

namespace {

class Haar final : public SequenceTransform, public BlockwiseTransform {
 public:
  Haar(std::int64_t tokens, int levels) : tokens_(tokens), levels_(levels), band_(static_cast<std::size_t>(levels)) {
    std::int64_t n = tokens;
    std::int64_t end = tokens;  // detail bands fill the rows from the end: d_1 is the last one
    for (auto& begin : band_) {
      begin = end - n / 2;
      end = begin;
      n -= n / 2;
    }
  }
  std::int64_t tokens() const override { return tokens_; }
  bool is_identity() const override { return levels_ == 0; }
  const BlockwiseTransform* blockwise() const override { return this; }

  void forward(MatrixView x, float* scratch) const override {
    if (levels_ == 0) return;
    for (std::int64_t c = 0; c < x.cols; c += strip) {
      const std::int64_t w = std::min(strip, x.cols - c);
      const MatrixView t{scratch, tokens_, w, simd::padded(w)};
      haar_forward({x.data + c, tokens_, w, x.stride}, levels_, t);
      for (std::int64_t p = 0; p < tokens_; ++p) std::copy_n(t.row(p), w, x.row(output_row(p)) + c);
    }
  }
  void inverse(MatrixView x, float* scratch) const override {
    if (levels_ == 0) return;
    for (std::int64_t c = 0; c < x.cols; c += strip) {
      const std::int64_t w = std::min(strip, x.cols - c), stride = simd::padded(w);
      const MatrixView t{scratch, tokens_, w, stride};
      for (std::int64_t p = 0; p < tokens_; ++p) {
        std::copy_n(x.row(output_row(p)) + c, w, t.row(p));
        std::fill(t.row(p) + w, t.row(p) + stride, 0.0f);
      }
      haar_inverse(t, levels_, {x.data + c, tokens_, w, x.stride}, false);
    }
  }
  std::size_t scratch_floats(std::int64_t columns) const override {
    return static_cast<std::size_t>(tokens_ * simd::padded(std::min(strip, columns)));
  }

  // From the recursion on index lists: level by level, each approximation is a list of (token, weight).
  std::vector<double> matrix() const override {
    const auto s = static_cast<std::size_t>(tokens_);
    std::vector<std::vector<double>> approximation(s, std::vector<double>(s, 0.0));
    for (std::size_t i = 0; i < s; ++i) approximation[i][i] = 1.0;
    std::vector<std::vector<double>> rows;  // finished details, finest last
    for (int level = 0; level < levels_; ++level) {
      std::vector<std::vector<double>> next, detail;
      for (std::size_t i = 0; i + 1 < approximation.size(); i += 2) {
        std::vector<double> a(s), d(s);
        for (std::size_t j = 0; j < s; ++j) {
          a[j] = (approximation[i][j] + approximation[i + 1][j]) / std::sqrt(2.0);
          d[j] = (approximation[i][j] - approximation[i + 1][j]) / std::sqrt(2.0);
        }
        next.push_back(std::move(a));
        detail.push_back(std::move(d));
      }
      if (approximation.size() % 2 == 1) next.push_back(approximation.back());
      detail.insert(detail.end(), rows.begin(), rows.end());
      rows = std::move(detail);
      approximation = std::move(next);
    }
    approximation.insert(approximation.end(), rows.begin(), rows.end());
    std::vector<double> m;
    m.reserve(s * s);
    for (const auto& row : approximation) m.insert(m.end(), row.begin(), row.end());
    return m;
  }

  // 2^J tokens share their approximation row and nothing with others; a short rest follows the odd rule by itself,
  // since a level is odd exactly when the rest is odd there. Blocks of fewer than 16 tokens are taken together.
  std::int64_t block_tokens() const { return std::int64_t{1} << std::max(levels_, 4); }
  std::int64_t blocks() const override { return (tokens_ + block_tokens() - 1) / block_tokens(); }
  std::int64_t block_begin(std::int64_t block) const override { return std::min(block * block_tokens(), tokens_); }
  std::int64_t output_row(std::int64_t token) const override {
    const int level = token == 0 ? levels_ : std::countr_zero(static_cast<std::uint64_t>(token));
    if (level >= levels_) return token >> levels_;
    return band_[static_cast<std::size_t>(level)] + (token >> (level + 1));
  }
  void forward_block(std::int64_t, ConstMatrixView x, MatrixView t) const override { haar_forward(x, levels_, t); }
  void inverse_block(std::int64_t, MatrixView t, MatrixView out, bool stream) const override {
    haar_inverse(t, levels_, out, stream);
  }

 private:
  static constexpr std::int64_t strip = 32;
  std::int64_t tokens_;
  int levels_;
  std::vector<std::int64_t> band_;  // first row of d_1, d_2, ...
};

std::string refuse_haar(const PlanFacts& facts) {
  const auto found = facts.options.find("levels");
  if (found == facts.options.end() || found->is_null()) return "";
  if (facts.any_length)
    return "levels is " + std::to_string(found->get<std::int64_t>()) +
           " and zero-shot questions may be too short for them; use levels: auto";
  if (facts.grid && facts.tokens < 1) return "";  // decided where the image's tokens are known
  const std::int64_t levels = found->get<std::int64_t>(), most = haar_full_depth(facts.tokens);
  if (levels <= most) return "";
  return std::to_string(facts.tokens) + " tokens have at most " + std::to_string(most) + " Haar levels, levels is " +
         std::to_string(levels);
}

}  // namespace

SequenceTransformPlugin haar_plugin() {
  PluginInfo info;
  info.name = "haar";
  info.summary = "orthonormal Haar wavelet; the approximation band comes first";
  info.source = "STaMP (arXiv 2510.26771) section 3, DWT; specification methods 2.3 a, 2.4, 2.5";
  info.cost = "O(s d): at most 4 s d flops forward, the same back";
  OptionInfo levels = option::any("levels", OptionInfo::Type::integer, nullptr,
                                  "wavelet levels; auto = floor(log2(s / k)), so that the approximation fits the k "
                                  "high-precision rows; k = 64 where "
                                  "the allocation names no high_tokens, and fewer than 2 k rows have no level then");
  levels.min = 0;
  levels.max = 62;
  info.options = {levels};
  info.refuse = refuse_haar;
  return {info, [](const SequenceTransformRequest& r) -> std::unique_ptr<SequenceTransform> {
            return std::make_unique<Haar>(r.tokens, static_cast<int>(level_count("haar", r)->levels));
          }};
}

}  // namespace stamp
