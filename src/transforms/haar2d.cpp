#include "transforms/haar2d.h"

#include <algorithm>
#include <bit>
#include <string>

#include "base/error.h"
#include "base/option_info.h"
#include "transforms/grid_request.h"
#include "transforms/levels.h"
#include "transforms/row_order.h"
#include "transforms/rows.h"
#include "transforms/vector.h"

namespace stamp {

std::int64_t haar2d_most_levels(std::int64_t height, std::int64_t width) {
  if (height < 1 || width < 1) return 0;
  return std::min(std::countr_zero(static_cast<std::uint64_t>(height)),
                  std::countr_zero(static_cast<std::uint64_t>(width)));
}

std::int64_t haar2d_auto_levels(std::int64_t height, std::int64_t width, std::int64_t high_tokens) {
  const std::int64_t k = high_tokens > 0 ? high_tokens : published_high_rows, most = haar2d_most_levels(height, width);
  std::int64_t levels = 0;
  while (levels < most && (height >> levels) * (width >> levels) > k) ++levels;
  return levels;
}

namespace {

// Sums and differences of one 2 x 2 cell, from four rows to four rows, which may be the same ones; p top left, q top
// right, r bottom left, u bottom right come out as LL, HL, LH, HH. The matrix is symmetric and orthogonal, so the way
// back is the same. `Stream`: around the caches (destinations 64-byte aligned, cols a multiple of 16).
struct Cell {
  const float *p, *q, *r, *u;
};
struct CellTo {
  float *p, *q, *r, *u;
};

template <bool Stream>
void cell(const Cell& from, const CellTo& to, std::int64_t cols) {
  using simd::Floats;
  const Floats half = simd::broadcast(0.5f);
  const auto put = [](float* at, Floats v) {
    if constexpr (Stream)
      simd::stream(at, v);
    else
      simd::store(at, v);
  };
  std::int64_t c = 0;
  for (; c + simd::width <= cols; c += simd::width) {
    const Floats p = simd::load(from.p + c), q = simd::load(from.q + c), r = simd::load(from.r + c),
                 u = simd::load(from.u + c);
    const Floats top = p + q, bottom = r + u, left = p - q, right = r - u;
    put(to.p + c, half * (top + bottom));
    put(to.q + c, half * (left + right));
    put(to.r + c, half * (top - bottom));
    put(to.u + c, half * (left - right));
  }
  for (; c < cols; ++c) {
    const float top = from.p[c] + from.q[c], bottom = from.r[c] + from.u[c];
    const float left = from.p[c] - from.q[c], right = from.r[c] - from.u[c];
    to.p[c] = 0.5f * (top + bottom);
    to.q[c] = 0.5f * (left + right);
    to.r[c] = 0.5f * (top - bottom);
    to.u[c] = 0.5f * (left - right);
  }
}

// Where coefficients lie before they are sorted: those of a cell at level l in the four corners of the cell.
std::vector<std::int64_t> places(std::int64_t height, std::int64_t width, int levels) {
  std::vector<std::int64_t> place(static_cast<std::size_t>(height * width));
  for (std::int64_t y = 0; y < height; ++y)
    for (std::int64_t x = 0; x < width; ++x) {
      std::int64_t& to = place[static_cast<std::size_t>(y * width + x)];
      const int level = (x | y) == 0 ? levels : std::countr_zero(static_cast<std::uint64_t>(x | y));
      if (level >= levels) {
        to = (y >> levels) * (width >> levels) + (x >> levels);
        continue;
      }
      // The three bands of this level follow everything coarser, which fills as many rows as one of them.
      const std::int64_t band_width = width >> (level + 1), band = (height >> (level + 1)) * band_width;
      const std::int64_t kind = ((x >> level) & 1) + 2 * ((y >> level) & 1);  // 1 HL, 2 LH, 3 HH
      to = kind * band + (y >> (level + 1)) * band_width + (x >> (level + 1));
    }
  return place;
}

class Haar2d final : public SequenceTransform, public BlockwiseTransform {
 public:
  Haar2d(std::int64_t height, std::int64_t width, int levels)
      : height_(height), width_(width), levels_(levels), order_(places(height, width, levels)) {}
  std::int64_t tokens() const override { return height_ * width_; }
  bool is_identity() const override { return levels_ == 0; }
  const BlockwiseTransform* blockwise() const override { return this; }
  std::size_t scratch_floats(std::int64_t columns) const override { return static_cast<std::size_t>(columns); }

  void forward(MatrixView x, float* scratch) const override {
    if (levels_ == 0) return;
    for (std::int64_t line = 0; line < height_; line += lines()) {
      const MatrixView t{x.row(line * width_), lines() * width_, x.cols, x.stride};
      analyse(t, t);
    }
    order_.forward(x, scratch);
  }
  void inverse(MatrixView x, float* scratch) const override {
    if (levels_ == 0) return;
    order_.backward(x, scratch);
    for (std::int64_t line = 0; line < height_; line += lines()) {
      const MatrixView t{x.row(line * width_), lines() * width_, x.cols, x.stride};
      synthesise(t, t, false);
    }
  }

  // From the defining formulas, band after band, on one unit vector after the other.
  std::vector<double> matrix() const override {
    const auto s = static_cast<std::size_t>(tokens());
    std::vector<double> m(s * s);
    for (std::size_t n = 0; n < s; ++n) {
      std::vector<double> low(s, 0.0), column;
      low[n] = 1;
      std::int64_t w = width_, h = height_;
      for (int level = 0; level < levels_; ++level, w /= 2, h /= 2) {
        std::vector<double> ll, hl, lh, hh;
        for (std::int64_t y = 0; y < h; y += 2)
          for (std::int64_t x = 0; x < w; x += 2) {
            const auto at = [&](std::int64_t dy, std::int64_t dx) {
              return low[static_cast<std::size_t>((y + dy) * w + x + dx)];
            };
            const double p = at(0, 0), q = at(0, 1), r = at(1, 0), u = at(1, 1);
            ll.push_back((p + q + r + u) / 2);
            hl.push_back((p - q + r - u) / 2);
            lh.push_back((p + q - r - u) / 2);
            hh.push_back((p - q - r + u) / 2);
          }
        hl.insert(hl.end(), lh.begin(), lh.end());
        hl.insert(hl.end(), hh.begin(), hh.end());
        column.insert(column.begin(), hl.begin(), hl.end());
        low = std::move(ll);
      }
      column.insert(column.begin(), low.begin(), low.end());
      for (std::size_t i = 0; i < s; ++i) m[i * s + n] = column[i];
    }
    return m;
  }

  // 2^J lines of the grid share nothing with the other lines.
  std::int64_t blocks() const override { return height_ / lines(); }
  std::int64_t block_begin(std::int64_t block) const override { return block * lines() * width_; }
  std::int64_t output_row(std::int64_t token) const override { return order_.place(token); }
  void forward_block(std::int64_t, ConstMatrixView x, MatrixView t) const override {
    if (levels_ == 0) return copy_rows_padded(x, t);
    analyse(x, t);
    const std::int64_t end = simd::padded(x.cols);
    if (end > x.cols)
      for (std::int64_t i = 0; i < x.rows; ++i) std::fill(t.row(i) + x.cols, t.row(i) + end, 0.0f);
  }
  void inverse_block(std::int64_t, MatrixView t, MatrixView out, bool stream) const override {
    if (levels_ == 0) return copy_rows_out(t, out, stream);
    synthesise(t, out, stream);
  }

 private:
  std::int64_t lines() const { return std::int64_t{1} << levels_; }
  template <bool Stream>
  void level(ConstMatrixView from, MatrixView to, std::int64_t x0, std::int64_t step) const {
    for (std::int64_t y = 0; y < lines(); y += 2 * step)
      for (std::int64_t x = x0; x < x0 + lines(); x += 2 * step) {
        const std::int64_t p = y * width_ + x, q = p + step, r = p + step * width_, u = r + step;
        cell<Stream>({from.row(p), from.row(q), from.row(r), from.row(u)}, {to.row(p), to.row(q), to.row(r), to.row(u)},
                     to.cols);
      }
  }
  // All levels of 2^J lines, one square of 2^J x 2^J tokens after the other so that it stays in the nearest cache. The
  // finest level reads where x lies, so that a block needs no copy of its own; x may be t.
  void analyse(ConstMatrixView x, MatrixView t) const {
    for (std::int64_t x0 = 0; x0 < width_; x0 += lines()) {
      level<false>(x, t, x0, 1);
      for (std::int64_t step = 2; step < lines(); step *= 2) level<false>(t, t, x0, step);
    }
  }
  // t is overwritten; out may be t.
  void synthesise(MatrixView t, MatrixView out, bool stream) const {
    for (std::int64_t x0 = 0; x0 < width_; x0 += lines()) {
      for (std::int64_t step = lines() / 2; step >= 2; step /= 2) level<false>(t, t, x0, step);
      stream ? level<true>(t, out, x0, 1) : level<false>(t, out, x0, 1);
    }
  }

  std::int64_t height_, width_;
  int levels_;
  RowOrder order_;
};

std::unique_ptr<SequenceTransform> make(const SequenceTransformRequest& r) {
  require_grid("haar2d", "haar", r);
  const std::int64_t h = r.grid_height, w = r.grid_width;
  const LevelCount count = *level_count("haar2d", r);
  const std::int64_t levels = count.levels, most = count.most;
  const std::string sides = "sequence transform haar2d: a grid of " + std::to_string(h) + " x " + std::to_string(w);
  const auto found = r.options.find("levels");
  const bool automatic = found == r.options.end() || found->is_null();
  if (levels > most || (automatic && most == 0 && h * w > (r.high_tokens > 0 ? r.high_tokens : published_high_rows)))
    throw TrialError("refused", sides + " halves " + std::to_string(most) + " times, levels is " +
                                    (automatic ? "auto" : std::to_string(levels)) +
                                    "; allowed: levels J with 2^J dividing both sides, 0 to " + std::to_string(most));
  return std::make_unique<Haar2d>(h, w, static_cast<int>(levels));
}

}  // namespace

SequenceTransformPlugin haar2d_plugin() {
  PluginInfo info;
  info.name = "haar2d";
  info.summary = "orthonormal Haar wavelet on the grid of an image's tokens; the approximation band comes first";
  info.source = "STaMP (arXiv 2510.26771) section 3, DWT; specification methods 2.3 b, 2.4";
  info.cost = "O(s d): at most 11 s d flops forward, the same back";
  OptionInfo levels = option::any(
      "levels", OptionInfo::Type::integer, nullptr,
      "wavelet levels, 2^levels divides both sides; auto = the fewest that leave at most k approximation rows; k = 64 "
      "where the allocation names no high_tokens");
  levels.min = 0;
  levels.max = 30;
  info.options = {levels};
  info.refuse = refuse_plain_sequences("haar");
  return {info, make};
}

}  // namespace stamp
