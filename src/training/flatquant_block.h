// What FlatQuant learns for one block, in double, as it is folded and as it is kept between runs. Specification methods
// 8.1, 8.2.
#pragma once
#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace stamp::training {

// x -> (x diagonal) (left (x) right); what is undefined is the identity. All double.
struct LearnedTransform {
  at::Tensor diagonal;              // n
  at::Tensor left, left_inverse;    // a x a
  at::Tensor right, right_inverse;  // b x b
};

// Factors on the ends of a range; undefined = 1.
struct LearnedClip {
  at::Tensor low, high;  // double; one element (a slot), or one for each row (a weight)
};

enum class FlatQuantSite { qkv, key, value, output, gate_up, down };
inline constexpr std::size_t flatquant_sites = 6;
enum class FlatQuantWeight { q, k, v, o, gate, up, down };
inline constexpr std::size_t flatquant_weights = 7;

struct FlatQuantBlock {
  // qkv, gate_up, down: diagonal, left and right. key and value: right (head_dim), the same for every head. output:
  // left (heads), besides what the values bring.
  std::array<LearnedTransform, flatquant_sites> transforms;
  std::array<LearnedClip, flatquant_sites> activation_clips;
  std::array<LearnedClip, flatquant_weights> weight_clips;
  std::vector<double> losses;            // mean squared error of the block's output, one mean an epoch
  double first_loss = 0, last_loss = 0;  // over the same items, before and after
  bool trained = true;                   // false: training made it worse, and the start was kept

  LearnedTransform& transform(FlatQuantSite s) { return transforms[static_cast<std::size_t>(s)]; }
  const LearnedTransform& transform(FlatQuantSite s) const { return transforms[static_cast<std::size_t>(s)]; }
  LearnedClip& clip(FlatQuantSite s) { return activation_clips[static_cast<std::size_t>(s)]; }
  LearnedClip& clip(FlatQuantWeight w) { return weight_clips[static_cast<std::size_t>(w)]; }
  const LearnedClip& clip(FlatQuantSite s) const { return activation_clips[static_cast<std::size_t>(s)]; }
  const LearnedClip& clip(FlatQuantWeight w) const { return weight_clips[static_cast<std::size_t>(w)]; }
};

std::string bytes_of(const FlatQuantBlock& block);
// DataError when the bytes are no such block.
FlatQuantBlock flatquant_block(std::string_view bytes);

}  // namespace stamp::training
