// AdamW (Loshchilov and Hutter 2019) with cosine decay, as torch.optim.AdamW computes it, without that library's
// headers.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace stamp::training {

// Leaf tensors that share a learning rate.
struct ParameterGroup {
  std::vector<at::Tensor> parameters;
  double learning_rate = 1e-3;
  double last_rate = 0;  // where a decay ends
};

struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0.01;
};

class AdamW {
 public:
  explicit AdamW(std::vector<ParameterGroup> groups, const AdamWOptions& options = {});
  // One update from the parameters' gradients; those without one stay. `decay` in [0, 1]: the rate of a group is
  // last_rate + (learning_rate - last_rate) * decay.
  void step(double decay = 1);
  void zero_gradients();

 private:
  struct Moments {
    at::Tensor first, second;
    std::int64_t steps = 0;
  };
  std::vector<ParameterGroup> groups_;
  std::vector<std::vector<Moments>> moments_;
  AdamWOptions options_;
};

// Half a cosine from 1 at step 0 to 0 at step `steps` (torch.optim.lr_scheduler.CosineAnnealingLR with T_max = steps).
double cosine_decay(std::int64_t step, std::int64_t steps);

}  // namespace stamp::training
