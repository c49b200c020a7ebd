// AutoencoderDC (DC-AE), which SANA's models work on: 32 times fewer pixels each way. J. Chen et al., 2024
// (arXiv 2410.10733). Specification models 13.2.
#pragma once
#include "models/info/autoencoder_config.h"
#include "models/vae/autoencoder.h"
#include "models/vae/feature_maps.h"

namespace stamp {

class AutoencoderDc final : public Autoencoder {
 public:
  explicit AutoencoderDc(std::shared_ptr<const Checkpoint> checkpoint);  // DataError
  void release() override { weights_.release(); }

 private:
  at::Tensor decode_one(const at::Tensor& code) override;
  at::Tensor encode_one(const at::Tensor& image) override;
  void residual_block(const std::string& name, at::Tensor& x);
  void attention(const std::string& name, const DcStage& stage, at::Tensor& x);
  void gated_convolution(const std::string& name, at::Tensor& x);
  void blocks(const std::string& name, std::int64_t first, const DcStage& stage, at::Tensor& x);
  at::Tensor doubled(const std::string& name, const at::Tensor& x, std::int64_t channels);
  at::Tensor halved(const std::string& name, const at::Tensor& x, std::int64_t channels);

  AutoencoderDcConfig config_;
  WeightStore weights_;
};

}  // namespace stamp
