#include "models/diffusion/diffusion_source.h"

#include <algorithm>
#include <cstring>

#include "models/decoder/decoder_loader.h"
#include "models/kernels/image_rows.h"
#include "models/linear.h"
#include "models/tensors.h"

namespace stamp {
namespace {
constexpr std::int64_t sinusoid_channels = 256;
}

DiffusionSource::DiffusionSource(std::shared_ptr<const Checkpoint> checkpoint, const std::string& architecture)
    : checkpoint_(std::move(checkpoint)),
      config_(read_diffusion_config(checkpoint_->config(),
                                    architecture.empty() ? checkpoint_->architecture() : architecture,
                                    checkpoint_->path() + ": config.json: ")),
      ignored_(check_diffusion_tensors(*checkpoint_, config_)) {}

at::Tensor DiffusionSource::matrix(const std::string& name) const {
  TensorInfo flat = checkpoint_->at(name);
  const std::int64_t rows = flat.shape.front();
  flat.shape = {rows, flat.elements() / rows};
  return load_matrix(flat);
}

at::Tensor DiffusionSource::vector(const std::string& name) const {
  return load_vector(checkpoint_->at(name));
}

bool DiffusionSource::same(const std::string& a, const std::string& b) const {
  const TensorInfo &left = checkpoint_->at(a), &right = checkpoint_->at(b);
  return left.type == right.type && left.shape == right.shape && left.bytes == right.bytes &&
         std::memcmp(left.data, right.data, left.bytes) == 0;
}

Affine::Affine(const DiffusionSource& source, const std::string& stem) : weight_(source.matrix(stem + ".weight")) {
  if (source.has(stem + ".bias")) bias_ = source.vector(stem + ".bias");
}

void Affine::pack() {
  if (weight_.defined() && !weight_.is_mkldnn()) weight_ = pack_weight(weight_);
}

at::Tensor Affine::forward(const at::Tensor& x) const {
  return linear(x, weight_, bias_);
}

NumberEmbedder::NumberEmbedder(const DiffusionSource& source, const std::string& stem, double shift)
    : first_(source, stem + ".linear_1"), second_(source, stem + ".linear_2"), shift_(shift) {}

at::Tensor NumberEmbedder::forward(const float* numbers, std::int64_t count) const {
  at::Tensor waves = fresh_matrix(count, sinusoid_channels);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::vector<float> wave = number_sinusoid(numbers[i], sinusoid_channels, shift_);
    std::copy(wave.begin(), wave.end(), view(waves).row(i));
  }
  at::Tensor hidden = first_.forward(waves);
  silu(view(hidden));
  return second_.forward(hidden);
}

}  // namespace stamp
