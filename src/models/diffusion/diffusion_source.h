// The checkpoint of a diffusion transformer, read and checked once, and pieces of its tensors as float32.
// Specification models 9 to 12.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "formats/checkpoint.h"
#include "models/info/diffusion_config.h"

namespace stamp {

class DiffusionSource {
 public:
  // `architecture`: the class, where the checkpoint's configuration does not name it. DataError.
  explicit DiffusionSource(std::shared_ptr<const Checkpoint> checkpoint, const std::string& architecture = "");
  const Checkpoint& checkpoint() const { return *checkpoint_; }
  const DiffusionConfig& config() const { return config_; }
  const std::vector<std::string>& ignored() const { return ignored_; }

  at::Tensor matrix(const std::string& name) const;  // out x everything else: a 1x1 convolution is a linear layer
  at::Tensor vector(const std::string& name) const;
  bool has(const std::string& name) const { return checkpoint_->find(name) != nullptr; }
  bool same(const std::string& a, const std::string& b) const;  // stored bytes are equal

 private:
  std::shared_ptr<const Checkpoint> checkpoint_;
  DiffusionConfig config_;
  std::vector<std::string> ignored_;
};

// A linear layer that no slot sees: embedders, modulation, the last projection.
class Affine {
 public:
  Affine() = default;
  Affine(const DiffusionSource& source, const std::string& stem);  // stem.weight and, where there is one, stem.bias
  bool defined() const { return weight_.defined(); }
  void pack();  // into the GEMM library's layout
  at::Tensor forward(const at::Tensor& x) const;

 private:
  at::Tensor weight_, bias_;
};

// Numbers (timesteps, guidance scales, sizes) to vectors: linear_2(silu(linear_1(sinusoid))).
class NumberEmbedder {
 public:
  NumberEmbedder() = default;
  // `shift`: of the sinusoid's frequencies; 1 in DiT, 0 elsewhere (models 2.5).
  NumberEmbedder(const DiffusionSource& source, const std::string& stem, double shift);
  at::Tensor forward(const float* numbers, std::int64_t count) const;  // count x width
 private:
  Affine first_, second_;
  double shift_ = 0;
};

}  // namespace stamp
