// Fake quantization that gradients pass through, for methods that train. Values are those of quant/grid.h and
// quant/kernels.h: what is trained against is what runs later. Specification methods 1.2, 1.3, 8.2, 8.3.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace stamp::training {

enum class StraightThrough {
  // round() has slope 1; the step and the zero point follow from the range, so gradients reach the clip factors and the
  // smallest and largest value of every group, and values beyond the grid send theirs to the end of the range.
  range,
  // The gradient of the output is the gradient of the input, unchanged (SpinQuant). Clip factors get none.
  identity,
};

struct FakeQuantize {
  double bits = 4;         // >= 16: values pass untouched
  bool symmetric = false;  // false: min-max with an integer zero point and zero forced into the range
  double clip = 1.0;       // constant factor on both ends of the range
  std::int64_t group =
      0;  // consecutive values of the last dimension that share a scale; 0 = all of it; last may be short
  StraightThrough gradient = StraightThrough::range;
};

// x: float32, any number of dimensions, contiguous or not; the result has its shape. clip_low, clip_high: one element
// each, learned factors on the lower and upper end of every group's range; undefined = 1. A group with a value that is
// not finite becomes NaN, as in the kernels.
at::Tensor fake_quantize(const at::Tensor& x, const FakeQuantize& how, const at::Tensor& clip_low = {},
                         const at::Tensor& clip_high = {});

// A weight (m x d), a scale for each row (or group): first every row is clamped to [clip_low * min, clip_high * max],
// then rounded to the min-max grid of what is left. clip_low, clip_high: m elements each (rows), undefined = no
// clamping. Equal to clamp_rows followed by fake_quantize, in one pass.
at::Tensor fake_quantize_weight(const at::Tensor& weight, const FakeQuantize& how, const at::Tensor& clip_low = {},
                                const at::Tensor& clip_high = {});
// The clamping alone, no gradient: folded into a weight, it makes plain min-max rounding give the trained values.
at::Tensor clamp_rows(const at::Tensor& weight, const at::Tensor& clip_low, const at::Tensor& clip_high);

}  // namespace stamp::training
