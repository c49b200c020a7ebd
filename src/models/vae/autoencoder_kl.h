// AutoencoderKL of Stable Diffusion's family (PixArt-Sigma, DiT). Specification models 13.1.
#pragma once
#include "models/info/autoencoder_config.h"
#include "models/vae/autoencoder.h"
#include "models/vae/feature_maps.h"

namespace stamp {

class AutoencoderKl final : public Autoencoder {
 public:
  explicit AutoencoderKl(std::shared_ptr<const Checkpoint> checkpoint);  // DataError
  // Mean and logarithm of the variance of the code (not clamped to [-30, 20]): 1 x 2 latent_channels x h x w.
  at::Tensor moments(const at::Tensor& image);
  void release() override { weights_.release(); }

 private:
  at::Tensor decode_one(const at::Tensor& code) override;
  at::Tensor encode_one(const at::Tensor& image) override;
  at::Tensor residual(const std::string& name, const at::Tensor& x);
  at::Tensor attention(const std::string& name, const at::Tensor& x);
  at::Tensor middle(const std::string& name, at::Tensor x);
  at::Tensor norm_convolve(const std::string& norm, const std::string& conv, const at::Tensor& x);

  AutoencoderKlConfig config_;
  WeightStore weights_;
};

}  // namespace stamp
