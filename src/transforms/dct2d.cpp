#include "transforms/dct2d.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <tuple>

#include "transforms/grid_request.h"
#include "transforms/row_order.h"

namespace stamp {
namespace {

std::unique_ptr<SequenceTransform> dct_of(std::int64_t tokens) {
  SequenceTransformRequest r;
  r.tokens = tokens;
  return make_sequence_transform("dct", r);
}

struct Frequency {
  std::int64_t v, u;  // along the height and the width
};

std::vector<Frequency> sorted(std::int64_t height, std::int64_t width) {
  std::vector<Frequency> all;
  for (std::int64_t v = 0; v < height; ++v)
    for (std::int64_t u = 0; u < width; ++u) all.push_back({v, u});
  const auto key = [](const Frequency& f) { return std::tuple(f.u + f.v, std::max(f.u, f.v), f.v); };
  std::sort(all.begin(), all.end(), [&](const Frequency& a, const Frequency& b) { return key(a) < key(b); });
  return all;
}

std::vector<std::int64_t> places(const std::vector<Frequency>& frequencies, std::int64_t width) {
  std::vector<std::int64_t> place(frequencies.size());
  for (std::size_t i = 0; i < frequencies.size(); ++i)
    place[static_cast<std::size_t>(frequencies[i].v * width + frequencies[i].u)] = static_cast<std::int64_t>(i);
  return place;
}

class Dct2d final : public SequenceTransform {
 public:
  Dct2d(std::int64_t height, std::int64_t width)
      : height_(height),
        width_(width),
        down_(dct_of(height)),
        across_(dct_of(width)),
        frequencies_(sorted(height, width)),
        order_(places(frequencies_, width)) {}
  std::int64_t tokens() const override { return height_ * width_; }
  std::size_t scratch_floats(std::int64_t columns) const override {
    return std::max(
        {static_cast<std::size_t>(columns), down_->scratch_floats(columns), across_->scratch_floats(columns)});
  }
  void forward(MatrixView x, float* scratch) const override {
    for (std::int64_t y = 0; y < height_; ++y) across_->forward(line(x, y), scratch);
    for (std::int64_t c = 0; c < width_; ++c) down_->forward(upright(x, c), scratch);
    order_.forward(x, scratch);
  }
  void inverse(MatrixView x, float* scratch) const override {
    order_.backward(x, scratch);
    for (std::int64_t c = 0; c < width_; ++c) down_->inverse(upright(x, c), scratch);
    for (std::int64_t y = 0; y < height_; ++y) across_->inverse(line(x, y), scratch);
  }

  std::vector<double> matrix() const override {
    const auto entry = [](std::int64_t k, std::int64_t n, std::int64_t s) {
      return std::sqrt((k == 0 ? 1.0 : 2.0) / static_cast<double>(s)) *
             std::cos(std::numbers::pi * (static_cast<double>(n) + 0.5) * static_cast<double>(k) /
                      static_cast<double>(s));
    };
    std::vector<double> m;
    m.reserve(frequencies_.size() * frequencies_.size());
    for (const Frequency& f : frequencies_)
      for (std::int64_t y = 0; y < height_; ++y)
        for (std::int64_t x = 0; x < width_; ++x) m.push_back(entry(f.v, y, height_) * entry(f.u, x, width_));
    return m;
  }

 private:
  MatrixView line(MatrixView x, std::int64_t y) const { return {x.row(y * width_), width_, x.cols, x.stride}; }
  MatrixView upright(MatrixView x, std::int64_t c) const { return {x.row(c), height_, x.cols, x.stride * width_}; }

  std::int64_t height_, width_;
  std::unique_ptr<SequenceTransform> down_, across_;
  std::vector<Frequency> frequencies_;  // in the order of the rows
  RowOrder order_;
};

}  // namespace

SequenceTransformPlugin dct2d_plugin() {
  PluginInfo info;
  info.name = "dct2d";
  info.summary = "orthonormal cosine basis (DCT-II) on the grid of an image's tokens; any sides";
  info.source = "STaMP (arXiv 2510.26771) section 3, DCT; specification methods 2.3 c";
  info.cost = "O(s d log s) by fast Fourier transforms along both sides";
  info.refuse = refuse_plain_sequences("dct");
  return {info, [](const SequenceTransformRequest& r) -> std::unique_ptr<SequenceTransform> {
            require_grid("dct2d", "dct", r);
            return std::make_unique<Dct2d>(r.grid_height, r.grid_width);
          }};
}

}  // namespace stamp
