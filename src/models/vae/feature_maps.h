// Pieces of convolutional networks on one float32 feature map, 1 x C x H x W contiguous. Specification models 13.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "formats/checkpoint.h"

namespace stamp {

// Tensors of a checkpoint by name, float32, read when first asked for and kept.
class WeightStore {
 public:
  WeightStore(std::shared_ptr<const Checkpoint> checkpoint, std::map<std::string, TensorInfo> tensors)
      : checkpoint_(std::move(checkpoint)), tensors_(std::move(tensors)) {}
  const at::Tensor& get(const std::string& name);  // std::logic_error when there is none
  at::Tensor find(const std::string& name);        // undefined when there is none
  void release() { loaded_.clear(); }

 private:
  std::shared_ptr<const Checkpoint> checkpoint_;  // keeps the mapping
  std::map<std::string, TensorInfo> tensors_;
  std::map<std::string, at::Tensor> loaded_;
};

// Convolution NAME.weight, with NAME.bias where there is one, that keeps height and width at stride 1 (odd kernels).
at::Tensor convolve(WeightStore& weights, const std::string& name, const at::Tensor& x, std::int64_t stride = 1,
                    std::int64_t groups = 1);
// A matrix out x in applied at every pixel, no bias.
at::Tensor multiply_pixels(const at::Tensor& matrix, const at::Tensor& x);

// x / rms over channels * weight + bias at every pixel, in place.
void channel_rms_norm(at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, float eps);

// Factor and offset of every channel, 1 x C x 1 x 1, that a group norm of x amounts to.
struct ChannelAffine {
  at::Tensor factor, offset;
};
ChannelAffine group_norm(const at::Tensor& x, std::int64_t groups, const at::Tensor& weight, const at::Tensor& bias,
                         double eps);

// Rows of `x` in bands. `work` gets a band with up to `halo` rows more on either side (fewer at the border of the map)
// and returns `ratio` rows for each of its rows, all as it would for the whole map but for `halo` * ratio of them at a
// side that is no border. `take` gets what is left of the result and its first row.
struct Bands {
  std::int64_t rows = 0;  // of x in a band
  std::int64_t halo = 0, ratio = 1;
};
void in_bands(const at::Tensor& x, const Bands& bands, const std::function<at::Tensor(const at::Tensor& band)>& work,
              const std::function<void(const at::Tensor& rows, std::int64_t first)>& take);
// The results put together.
at::Tensor map_bands(const at::Tensor& x, const Bands& bands, std::int64_t channels,
                     const std::function<at::Tensor(const at::Tensor& band)>& work);
// Rows of x so that `floats_per_row` floats each make `floats` of them, at least one and no more than x has.
std::int64_t band_rows(const at::Tensor& x, std::int64_t floats_per_row, std::int64_t floats);

at::Tensor double_pixels(const at::Tensor& x);  // every pixel 2 x 2 times

}  // namespace stamp
