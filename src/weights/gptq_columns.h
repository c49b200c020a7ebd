// The column loop of GPTQ inside one block of columns. Specification methods 4.2; free of LibTorch.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "quant/grid.h"

namespace stamp {

// Lanes (output channels) that the loop takes at once: weight rows are padded to a multiple of it.
inline constexpr std::int64_t gptq_lanes = 32;

// Scales of every output channel and group: step and bounds of round(w / step). groups x stride floats each.
struct GptqScales {
  std::int64_t stride;
  std::vector<float> delta, low, high;
  // Padding and missing scales round everything to zero.
  GptqScales(std::int64_t groups, std::int64_t padded_rows);
  void set(std::int64_t group, std::int64_t row, std::span<const float> weights, const WeightGrid& grid);
};

struct GptqColumns {
  // Transposed: row j holds input channel j of all output channels. d x stride, stride a multiple of gptq_lanes;
  // columns past `rows` are zero.
  float* weights;
  std::int64_t inputs, rows, stride;       // d, m, floats from one input channel to the next
  const float* factor;                     // U, d x d, row-major, upper triangle
  std::span<const std::int64_t> group_of;  // d: group of every input channel
  // > 0: groups of so many neighbouring channels get their scales here, when the loop reaches their first channel, from
  // the weights as compensated by then. 0: scales are there already.
  std::int64_t dynamic_group;
  WeightGrid grid;  // for those
};

// Quantizes channels [begin, end) one after the other and spreads each error over the channels that follow inside the
// range. On entry all channels from `begin` on are compensated for everything before; on return weights[begin, end) are
// on the grid and errors ((end - begin) x stride) hold (w - q) / U_jj, which the caller spreads over channels from
// `end` on. A dynamic group that ends past `end` has to start at `begin`. Returns sum (w - q)^2 / (2 U_jj^2).
double gptq_quantize_columns(const GptqColumns& layer, std::int64_t begin, std::int64_t end, GptqScales& scales,
                             float* errors);

}  // namespace stamp
