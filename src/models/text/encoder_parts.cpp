#include "models/text/encoder_parts.h"

#include <algorithm>
#include <stdexcept>

#include "models/decoder/decoder_loader.h"
#include "models/kernels/encoder.h"
#include "models/linear.h"
#include "models/tensors.h"
#include "models/text/t5_config.h"

namespace stamp {

MatrixView part_of(at::Tensor& matrix, std::int64_t first, std::int64_t count) {
  const MatrixView all = view(matrix);
  return {all.row(first), count, all.cols, all.stride};
}

void NormWeights::apply(const at::Tensor& x, at::Tensor& out, double eps) const {
  layer_norm(const_view(x), weight.const_data_ptr<float>(), bias.const_data_ptr<float>(), static_cast<float>(eps),
             view(out));
}

at::Tensor AffineWeights::of(const at::Tensor& x) const {
  return linear(x, weight, bias);
}

NormWeights load_layer_norm(const Checkpoint& checkpoint, const std::string& name, std::int64_t width) {
  return {load_vector(tensor_of_shape(checkpoint, name + ".weight", {width})),
          load_vector(tensor_of_shape(checkpoint, name + ".bias", {width}))};
}

AffineWeights load_affine(const Checkpoint& checkpoint, const std::string& name, std::int64_t to, std::int64_t from) {
  return {pack_weight(load_matrix(tensor_of_shape(checkpoint, name + ".weight", {to, from}))),
          load_vector(tensor_of_shape(checkpoint, name + ".bias", {to}))};
}

std::vector<float> clip_normalized(const ByteImage& image) {
  constexpr float mean[] = {0.48145466F, 0.4578275F, 0.40821073F},
                  deviation[] = {0.26862954F, 0.26130258F, 0.27577711F};
  std::vector<float> out = to_floats(image).values;
  const std::int64_t plane = image.height * image.width;
  for (std::int64_t i = 0; i < 3 * plane; ++i) {
    float& v = out[static_cast<std::size_t>(i)];
    v = (v - mean[i / plane]) / deviation[i / plane];
  }
  return out;
}

at::Tensor patch_rows(const at::Tensor& pixels, std::int64_t side, std::int64_t patch) {
  if (pixels.dim() != 2 || pixels.size(1) != 3 * side * side)
    throw std::logic_error("pixels are rows of three planes of the encoder's own size");
  const std::int64_t along = side / patch, patches = along * along, count = pixels.size(0);
  at::Tensor cut = fresh_matrix(count * patches, 3 * patch * patch);
  for (std::int64_t i = 0; i < count * patches; ++i) {
    const float* image = const_view(pixels).row(i / patches);
    const std::int64_t top = i % patches / along * patch, left = i % along * patch;
    float* to = view(cut).row(i);
    for (std::int64_t c = 0; c < 3; ++c)
      for (std::int64_t y = 0; y < patch; ++y) to = std::copy_n(image + (c * side + top + y) * side + left, patch, to);
  }
  return cut;
}

}  // namespace stamp
