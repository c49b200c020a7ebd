// One group's quantization and its derivative, on raw floats. The derivative is that of the formulas with round() taken
// as the identity: y = D (clamp(round(u / D) + z, 0, N) - z) with D and z functions of the range [low, high] of the
// group, u = x (activations) or x clamped to the range (weights). Specification methods 1.2, 1.3, 8.2.
#pragma once
#include <cstdint>

namespace stamp::training {

struct GroupRule {
  std::int64_t steps = 15;  // N = levels - 1
  bool symmetric = false;
  bool clamp =
      false;  // weights: the ends of the range are min * clip_low and max * clip_high, and x is clamped to them
};

// out may be x. clip_low, clip_high: factors on the ends of the range.
void quantize_group(const float* x, std::int64_t n, const GroupRule& rule, double clip_low, double clip_high,
                    float* out);

struct ClipGradient {
  float low = 0, high = 0;  // of the loss with respect to clip_low, clip_high
};
// Writes the gradient of x for the gradient `above` of the result; `out` may not be x or above.
ClipGradient group_gradient(const float* x, const float* above, std::int64_t n, const GroupRule& rule, double clip_low,
                            double clip_high, float* out);

}  // namespace stamp::training
