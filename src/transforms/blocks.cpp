#include "transforms/blocks.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>

#include "base/option_info.h"
#include "transforms/haar.h"
#include "transforms/haar_kernels.h"
#include "transforms/rows.h"
#include "transforms/vector.h"

namespace stamp {
namespace {

using simd::Floats;

// What happens inside a block of n tokens. Local row p of a transformed block is its rank(p)-th coarsest coefficient.
class Haar {
 public:
  explicit Haar(std::int64_t n) : levels_(static_cast<int>(haar_full_depth(n))), rank_(static_cast<std::size_t>(n)) {
    std::int64_t rows = n, end = n;  // details fill the ranks from the end, the finest last
    for (int level = 0; level < levels_; ++level) {
      end -= rows / 2;
      for (std::int64_t i = 0; i < rows / 2; ++i) rank_[static_cast<std::size_t>((2 * i + 1) << level)] = end + i;
      rows -= rows / 2;
    }
    rank_[0] = 0;  // one approximation row is left
  }
  std::int64_t rank(std::int64_t p) const { return rank_[static_cast<std::size_t>(p)]; }
  void forward(ConstMatrixView x, MatrixView t) const { haar_forward(x, levels_, t); }
  void inverse(MatrixView t, MatrixView out, bool stream) const { haar_inverse(t, levels_, out, stream); }

  // Row r of the block's matrix, by halving a list of (first token, tokens, weight): what a coefficient of level j
  // covers follows from the odd rule alone.
  static std::vector<double> matrix(std::int64_t n) {
    const auto s = static_cast<std::size_t>(n);
    std::vector<std::vector<double>> low(s, std::vector<double>(s, 0.0)), details;
    for (std::size_t i = 0; i < s; ++i) low[i][i] = 1;
    while (low.size() > 1) {
      std::vector<std::vector<double>> coarser, differences;
      for (std::size_t i = 0; i + 1 < low.size(); i += 2) {
        std::vector<double> sum(s), difference(s);
        for (std::size_t j = 0; j < s; ++j) {
          sum[j] = (low[i][j] + low[i + 1][j]) / std::numbers::sqrt2;
          difference[j] = (low[i][j] - low[i + 1][j]) / std::numbers::sqrt2;
        }
        coarser.push_back(std::move(sum));
        differences.push_back(std::move(difference));
      }
      if (low.size() % 2 == 1) coarser.push_back(low.back());
      details.insert(details.begin(), differences.begin(), differences.end());
      low = std::move(coarser);
    }
    low.insert(low.end(), details.begin(), details.end());
    std::vector<double> m;
    for (const auto& row : low) m.insert(m.end(), row.begin(), row.end());
    return m;
  }

 private:
  int levels_;
  std::vector<std::int64_t> rank_;
};

// A dense product: c multiplications a value, which for c up to some hundred costs less than the layer by far.
class Dct {
 public:
  explicit Dct(std::int64_t n) : n_(n) {
    const std::vector<double> m = matrix(n);
    m_.assign(m.begin(), m.end());
  }
  std::int64_t rank(std::int64_t p) const { return p; }
  void forward(ConstMatrixView x, MatrixView t) const {
    copy_rows_padded(x, t);
    product(t, n_, 1);
  }
  void inverse(MatrixView t, MatrixView out, bool stream) const {
    product(t, 1, n_);
    copy_rows_out(t, out, stream);
  }

  static std::vector<double> matrix(std::int64_t n) {
    std::vector<double> m;
    const auto s = static_cast<double>(n);
    for (std::int64_t k = 0; k < n; ++k)
      for (std::int64_t i = 0; i < n; ++i)
        m.push_back(std::sqrt((k == 0 ? 1.0 : 2.0) / s) *
                    std::cos(std::numbers::pi * (static_cast<double>(i) + 0.5) * static_cast<double>(k) / s));
    return m;
  }

 private:
  // t <- M t, entry (k, i) of M at m_[k * row + i * column]; one vector of columns at a time, kept aside.
  void product(MatrixView t, std::int64_t row, std::int64_t column) const {
    float from[most * simd::width];
    for (std::int64_t c = 0; c < simd::padded(t.cols); c += simd::width) {
      for (std::int64_t i = 0; i < n_; ++i) simd::store(from + i * simd::width, simd::load(t.row(i) + c));
      for (std::int64_t k = 0; k < n_; ++k) {
        Floats sum{};
        for (std::int64_t i = 0; i < n_; ++i)
          sum = simd::fma(simd::broadcast(m_[static_cast<std::size_t>(k * row + i * column)]),
                          simd::load(from + i * simd::width), sum);
        simd::store(t.row(k) + c, sum);
      }
    }
  }

  std::int64_t n_;
  std::vector<float> m_;

 public:
  static constexpr std::int64_t most = 256;
};

template <typename Inside>
class Blocks final : public SequenceTransform, public BlockwiseTransform {
 public:
  Blocks(std::int64_t tokens, std::int64_t block)
      : tokens_(tokens),
        block_(std::min(block, tokens)),
        whole_(block_),
        rest_(tokens % block_ == 0 ? block_ : tokens % block_) {}
  std::int64_t tokens() const override { return tokens_; }
  bool is_identity() const override { return block_ == 1; }
  const BlockwiseTransform* blockwise() const override { return this; }

  void forward(MatrixView x, float* scratch) const override {
    for (std::int64_t c = 0; c < x.cols; c += strip) {
      const std::int64_t w = std::min(strip, x.cols - c), stride = simd::padded(w);
      for (std::int64_t b = 0; b < blocks(); ++b) {
        const std::int64_t begin = block_begin(b), n = block_begin(b + 1) - begin;
        forward_block(b, {x.row(begin) + c, n, w, x.stride}, {scratch + begin * stride, n, w, stride});
      }
      for (std::int64_t p = 0; p < tokens_; ++p) std::copy_n(scratch + p * stride, w, x.row(output_row(p)) + c);
    }
  }
  void inverse(MatrixView x, float* scratch) const override {
    for (std::int64_t c = 0; c < x.cols; c += strip) {
      const std::int64_t w = std::min(strip, x.cols - c), stride = simd::padded(w);
      for (std::int64_t p = 0; p < tokens_; ++p) {
        float* to = scratch + p * stride;
        std::copy_n(x.row(output_row(p)) + c, w, to);
        std::fill(to + w, to + stride, 0.0f);
      }
      for (std::int64_t b = 0; b < blocks(); ++b) {
        const std::int64_t begin = block_begin(b), n = block_begin(b + 1) - begin;
        inverse_block(b, {scratch + begin * stride, n, w, stride}, {x.row(begin) + c, n, w, x.stride}, false);
      }
    }
  }
  std::size_t scratch_floats(std::int64_t columns) const override {
    return static_cast<std::size_t>(tokens_ * simd::padded(std::min(strip, columns)));
  }

  // Rank after rank, block after block: the order is written out, not computed as in output_row().
  std::vector<double> matrix() const override {
    std::vector<double> m;
    for (std::int64_t rank = 0; rank < block_; ++rank)
      for (std::int64_t first = 0; first < tokens_; first += block_) {
        const std::int64_t n = std::min(block_, tokens_ - first);
        if (rank >= n) continue;
        const std::vector<double> inside = Inside::matrix(n);
        std::vector<double> row(static_cast<std::size_t>(tokens_), 0.0);
        std::copy_n(inside.begin() + rank * n, n, row.begin() + first);
        m.insert(m.end(), row.begin(), row.end());
      }
    return m;
  }

  std::int64_t blocks() const override { return (tokens_ + block_ - 1) / block_; }
  std::int64_t block_begin(std::int64_t block) const override { return std::min(block * block_, tokens_); }
  std::int64_t output_row(std::int64_t token) const override {
    const std::int64_t b = token / block_, rank = inside(b).rank(token % block_);
    // Every coarser rank filled one row a block, the last block only while it has so many.
    const std::int64_t last = tokens_ - (blocks() - 1) * block_;
    return rank * (blocks() - 1) + std::min(rank, last) + b;
  }
  void forward_block(std::int64_t block, ConstMatrixView x, MatrixView t) const override {
    inside(block).forward(x, t);
  }
  void inverse_block(std::int64_t block, MatrixView t, MatrixView out, bool stream) const override {
    inside(block).inverse(t, out, stream);
  }

 private:
  static constexpr std::int64_t strip = 32;
  const Inside& inside(std::int64_t block) const { return block + 1 < blocks() ? whole_ : rest_; }
  std::int64_t tokens_, block_;
  Inside whole_, rest_;
};

constexpr std::int64_t usual_block = 16;

OptionInfo block_option(std::int64_t most) {
  return option::integer(
      "block", usual_block, 1, static_cast<double>(most),
      "tokens a block; a row looks at most block - 1 tokens ahead. High rows go round robin over the blocks, so "
      "high_tokens should be a multiple of tokens / block");
}

template <typename Inside>
std::unique_ptr<SequenceTransform> make(const SequenceTransformRequest& r) {
  const std::int64_t block = r.options.contains("block") ? integer_option(r.options, "block") : usual_block;
  return std::make_unique<Blocks<Inside>>(r.tokens, block);
}

}  // namespace

SequenceTransformPlugin haar_blocks_plugin() {
  PluginInfo info;
  info.name = "haar_blocks";
  info.summary = "Haar wavelet within blocks of consecutive tokens: bounded look-ahead; high rows round robin";
  info.source = "STaMP (arXiv 2510.26771) section 3, DWT; specification methods 2.3 a, 2.11";
  info.cost = "O(s d): at most 4 s d flops forward, the same back";
  info.options = {block_option(1 << 20)};
  return {info, make<Haar>};
}

SequenceTransformPlugin dct_blocks_plugin() {
  PluginInfo info;
  info.name = "dct_blocks";
  info.summary = "cosine basis (DCT-II) within blocks of consecutive tokens: bounded look-ahead; high rows round robin";
  info.source = "STaMP (arXiv 2510.26771) section 3, DCT; specification methods 2.3 c, 2.11";
  info.cost = "2 s d c flops forward, the same back (c tokens a block)";
  info.options = {block_option(Dct::most)};
  return {info, make<Dct>};
}

}  // namespace stamp
