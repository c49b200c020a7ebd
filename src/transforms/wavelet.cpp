#include "transforms/wavelet.h"

#include <algorithm>

#include "base/error.h"
#include "base/option_info.h"
#include "transforms/haar.h"
#include "transforms/levels.h"
#include "transforms/vector.h"
#include "transforms/wavelet_levels.h"

namespace stamp {
namespace {

using simd::Floats;

// A sparse matrix by rows: y = A x with the columns of x taken a vector at a time.
class Sparse {
 public:
  explicit Sparse(const std::vector<WaveletRow>& rows) {
    for (const WaveletRow& row : rows) {
      for (std::size_t k = 0; k < row.columns.size(); ++k) {
        columns_.push_back(row.columns[k]);
        weights_.push_back(static_cast<float>(row.weights[k]));
      }
      ends_.push_back(columns_.size());
    }
  }
  // from: rows of `stride` floats, a multiple of the vector width; to.cols columns are written.
  void apply(const float* from, std::int64_t stride, MatrixView to) const {
    std::size_t begin = 0;
    for (std::size_t r = 0; r < ends_.size(); begin = ends_[r], ++r) {
      float* y = to.row(static_cast<std::int64_t>(r));
      for (std::int64_t c = 0; c < to.cols; c += simd::width) {
        Floats sum{};
        for (std::size_t k = begin; k < ends_[r]; ++k)
          sum = simd::fma(simd::broadcast(weights_[k]), simd::load(from + columns_[k] * stride + c), sum);
        simd::store_part(y + c, sum, std::min(simd::width, to.cols - c));
      }
    }
  }

 private:
  std::vector<std::int64_t> columns_;
  std::vector<float> weights_;
  std::vector<std::size_t> ends_;
};

std::vector<WaveletRow> transposed(const WaveletLevel& level) {
  std::vector<WaveletRow> out(static_cast<std::size_t>(level.rows));
  for (std::size_t r = 0; r < level.matrix.size(); ++r)
    for (std::size_t k = 0; k < level.matrix[r].columns.size(); ++k) {
      WaveletRow& to = out[static_cast<std::size_t>(level.matrix[r].columns[k])];
      to.columns.push_back(static_cast<std::int64_t>(r));
      to.weights.push_back(level.matrix[r].weights[k]);
    }
  return out;
}

class Wavelet final : public SequenceTransform {
 public:
  Wavelet(std::int64_t tokens, std::vector<WaveletLevel> levels) : tokens_(tokens), levels_(std::move(levels)) {
    for (const WaveletLevel& level : levels_) {
      forward_.emplace_back(level.matrix);
      backward_.emplace_back(transposed(level));
    }
  }
  std::int64_t tokens() const override { return tokens_; }
  bool is_identity() const override { return levels_.empty(); }

  void forward(MatrixView x, float* scratch) const override {
    for (std::int64_t c = 0; c < x.cols; c += strip)
      for (std::size_t i = 0; i < levels_.size(); ++i) run(forward_[i], levels_[i].rows, columns_of(x, c), scratch);
  }
  void inverse(MatrixView x, float* scratch) const override {
    for (std::int64_t c = 0; c < x.cols; c += strip)
      for (std::size_t i = levels_.size(); i-- > 0;) run(backward_[i], levels_[i].rows, columns_of(x, c), scratch);
  }
  std::size_t scratch_floats(std::int64_t columns) const override {
    return static_cast<std::size_t>(tokens_ * simd::padded(std::min(strip, columns)));
  }

  // Level after level, multiplied out in double.
  std::vector<double> matrix() const override {
    const auto s = static_cast<std::size_t>(tokens_);
    std::vector<double> m(s * s, 0.0);
    for (std::size_t i = 0; i < s; ++i) m[i * s + i] = 1;
    for (const WaveletLevel& level : levels_) {
      const std::vector<double> before = m;
      for (std::size_t r = 0; r < level.matrix.size(); ++r) {
        std::fill_n(m.begin() + static_cast<std::ptrdiff_t>(r * s), s, 0.0);
        for (std::size_t k = 0; k < level.matrix[r].columns.size(); ++k) {
          const auto from = static_cast<std::size_t>(level.matrix[r].columns[k]);
          for (std::size_t j = 0; j < s; ++j) m[r * s + j] += level.matrix[r].weights[k] * before[from * s + j];
        }
      }
    }
    return m;
  }

 private:
  static constexpr std::int64_t strip = 32;
  static MatrixView columns_of(MatrixView x, std::int64_t c) {
    return {x.data + c, x.rows, std::min(strip, x.cols - c), x.stride};
  }
  static void run(const Sparse& matrix, std::int64_t rows, MatrixView x, float* scratch) {
    const std::int64_t stride = simd::padded(x.cols);
    for (std::int64_t i = 0; i < rows; ++i) {
      std::copy_n(x.row(i), x.cols, scratch + i * stride);
      std::fill(scratch + i * stride + x.cols, scratch + (i + 1) * stride, 0.0f);
    }
    matrix.apply(scratch, stride, x);
  }

  std::int64_t tokens_;
  std::vector<WaveletLevel> levels_;
  std::vector<Sparse> forward_, backward_;
};

std::string choice(const Json& options, const std::string& name, const std::string& fallback) {
  return options.contains(name) ? text_option(options, name) : fallback;
}
const WaveletFilter& family_of(const Json& options) {
  return wavelet_filter(choice(options, "family", "sym4"));
}
bool periodic(const Json& options) {
  return choice(options, "boundary", "edge") == "periodic";
}
}  // namespace

std::int64_t wavelet_most_levels(const Json& options, std::int64_t tokens) {
  return periodic(options) ? haar_full_depth(tokens) : most_edge_levels(family_of(options), tokens);
}

namespace {

std::string refuse_wavelet(const PlanFacts& facts) {
  const auto found = facts.options.find("levels");
  if (found == facts.options.end() || found->is_null()) return "";
  const std::int64_t levels = found->get<std::int64_t>();
  if (facts.any_length)
    return "levels is " + std::to_string(levels) +
           " and zero-shot questions may be too short for them; use levels: auto";
  const std::int64_t most = wavelet_most_levels(facts.options, facts.tokens);
  if (levels <= most) return "";
  const WaveletFilter& filter = family_of(facts.options);
  std::string reason = std::to_string(facts.tokens) + " tokens have at most " + std::to_string(most) + " levels of " +
                       filter.name + ", levels is " + std::to_string(levels);
  if (!periodic(facts.options))
    reason += "; boundary: edge needs " + std::to_string(6 * filter.moments) + " rows a level";
  return reason;
}

std::unique_ptr<SequenceTransform> make(const SequenceTransformRequest& r) {
  const std::int64_t levels = level_count("wavelet", r)->levels;
  const WaveletFilter& filter = family_of(r.options);
  const auto make_levels = periodic(r.options) ? periodic_levels : edge_levels;
  return std::make_unique<Wavelet>(r.tokens, make_levels(filter, r.tokens, static_cast<int>(levels)));
}

}  // namespace

SequenceTransformPlugin wavelet_plugin() {
  PluginInfo info;
  info.name = "wavelet";
  info.summary = "Daubechies wavelets and symlets, orthonormal up to the first and the last token; approximation first";
  info.source = "I. Daubechies, Ten Lectures on Wavelets, 1992; A. Cohen, I. Daubechies, P. Vial, 1993, on the ends";
  info.cost = "O(s d): at most 8 p s d flops forward, the same back (p vanishing moments: 2 of db2 to 8 of sym8)";
  std::vector<std::string> families;
  for (const WaveletFilter& filter : wavelet_filters()) families.push_back(filter.name);
  OptionInfo levels = option::any(
      "levels", OptionInfo::Type::integer, nullptr,
      "wavelet levels; auto = floor(log2(s / k)), as of haar, or as many as the ends leave room for; k = 64 where "
      "the allocation names no high_tokens");
  levels.min = 0;
  levels.max = 62;
  info.options = {
      option::choice("family", "sym4", families,
                     "db2, db3, db4: Daubechies, 4, 6, 8 taps; sym4, sym6, sym8: least asymmetric, 8, 12, 16 taps"),
      option::choice("boundary", "edge", {"edge", "periodic"},
                     "edge: filters of their own at both ends; periodic: the last tokens meet the first ones"),
      levels};
  info.refuse = refuse_wavelet;
  return {info, make};
}

}  // namespace stamp
