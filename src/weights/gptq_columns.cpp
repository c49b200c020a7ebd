#include "weights/gptq_columns.h"

#include <algorithm>

#include "quant/weight_clip.h"
#include "transforms/vector.h"

namespace stamp {
namespace {

using simd::Floats;

constexpr std::int64_t vectors = gptq_lanes / simd::width;

// Weights of 32 output channels and the columns of one block, copied out: rows of the whole matrix lie so far apart
// that a block of them would fall into a few sets of the first-level cache.
struct Tile {
  const GptqColumns& layer;
  std::int64_t begin, end, lane;  // lane: first output channel
  std::vector<float>& values;     // (end - begin) x gptq_lanes
  float* row(std::int64_t j) { return values.data() + (j - begin) * gptq_lanes; }
};

void set_dynamic_scales(Tile& tile, std::int64_t first, GptqScales& scales, std::vector<float>& group) {
  const GptqColumns& layer = tile.layer;
  const std::int64_t last = std::min(first + layer.dynamic_group, layer.inputs);
  group.resize(static_cast<std::size_t>(last - first));
  for (std::int64_t r = 0; r < std::min(gptq_lanes, layer.rows - tile.lane); ++r) {
    for (std::int64_t j = first; j < last; ++j)
      group[static_cast<std::size_t>(j - first)] =
          j < tile.end ? tile.row(j)[r] : layer.weights[j * layer.stride + tile.lane + r];
    scales.set(layer.group_of[static_cast<std::size_t>(first)], tile.lane + r, group, layer.grid);
  }
}

double quantize_tile(Tile tile, GptqScales& scales, float* errors, std::vector<float>& group) {
  const GptqColumns& layer = tile.layer;
  Floats loss[vectors]{};
  for (std::int64_t j = tile.begin; j < tile.end; ++j) {
    const std::int64_t g = layer.group_of[static_cast<std::size_t>(j)];
    if (layer.dynamic_group > 0 && j % layer.dynamic_group == 0) set_dynamic_scales(tile, j, scales, group);
    const float* u = layer.factor + j * layer.inputs;
    const Floats diagonal = simd::broadcast(u[j]);
    Floats error[vectors];
    for (std::int64_t v = 0; v < vectors; ++v) {
      const std::int64_t at = g * scales.stride + tile.lane + v * simd::width;
      const Floats delta = simd::load(scales.delta.data() + at), low = simd::load(scales.low.data() + at),
                   high = simd::load(scales.high.data() + at);
      float* w = tile.row(j) + v * simd::width;
      const Floats value = simd::load(w);
      const Floats q = simd::round_even(simd::min(simd::max(value / delta, low), high)) * delta;
      error[v] = (value - q) / diagonal;
      loss[v] = simd::fma(error[v], error[v], loss[v]);
      simd::store(w, q);
      simd::store(errors + (j - tile.begin) * layer.stride + tile.lane + v * simd::width, error[v]);
    }
    for (std::int64_t k = j + 1; k < tile.end; ++k) {
      const Floats factor = simd::broadcast(u[k]);
      float* w = tile.row(k);
#pragma GCC unroll 2
      for (std::int64_t v = 0; v < vectors; ++v)
        simd::store(w + v * simd::width, simd::fnma(error[v], factor, simd::load(w + v * simd::width)));
    }
  }
  double sum = 0;
  for (const Floats& l : loss) sum += static_cast<double>(simd::sum(l));
  return sum / 2;
}

}  // namespace

GptqScales::GptqScales(std::int64_t groups, std::int64_t padded_rows)
    : stride(padded_rows),
      delta(static_cast<std::size_t>(groups * padded_rows), 1.0f),
      low(delta.size(), 0.0f),
      high(delta.size(), 0.0f) {}

void GptqScales::set(std::int64_t group, std::int64_t row, std::span<const float> weights, const WeightGrid& grid) {
  using Kind = kernels::Scale::Kind;
  const kernels::Scale s = weight_scale(weights, grid);
  const auto at = static_cast<std::size_t>(group * stride + row);
  if (s.kind == Kind::uniform) {
    delta[at] = s.delta;
    low[at] = s.low;
    high[at] = s.high;
  }
}

double gptq_quantize_columns(const GptqColumns& layer, std::int64_t begin, std::int64_t end, GptqScales& scales,
                             float* errors) {
  const std::int64_t tiles = layer.stride / gptq_lanes;
  std::vector<double> losses(static_cast<std::size_t>(tiles));  // added in order: no matter how many threads
#pragma omp parallel
  {
    std::vector<float> values(static_cast<std::size_t>((end - begin) * gptq_lanes)), group;
#pragma omp for schedule(dynamic)
    for (std::int64_t t = 0; t < tiles; ++t) {
      Tile tile{layer, begin, end, t * gptq_lanes, values};
      for (std::int64_t j = begin; j < end; ++j)
        std::copy_n(layer.weights + j * layer.stride + tile.lane, gptq_lanes, tile.row(j));
      losses[static_cast<std::size_t>(t)] = quantize_tile(tile, scales, errors, group);
      for (std::int64_t j = begin; j < end; ++j)
        std::copy_n(tile.row(j), gptq_lanes, layer.weights + j * layer.stride + tile.lane);
    }
  }
  double loss = 0;
  for (const double l : losses) loss += l;
  return loss;
}

}  // namespace stamp
