#include "training/adamw.h"

#include <ATen/ops/zeros_like.h>

#include <cmath>
#include <numbers>
#include <stdexcept>

namespace stamp::training {

AdamW::AdamW(std::vector<ParameterGroup> groups, const AdamWOptions& options)
    : groups_(std::move(groups)), options_(options) {
  for (const ParameterGroup& group : groups_) {
    std::vector<Moments> moments;
    for (const at::Tensor& p : group.parameters) {
      if (p.scalar_type() != at::kFloat || !p.is_contiguous() || !p.is_leaf())
        throw std::logic_error("AdamW takes contiguous float32 leaf tensors");
      moments.push_back({at::zeros_like(p.detach()), at::zeros_like(p.detach()), 0});
    }
    moments_.push_back(std::move(moments));
  }
}

void AdamW::step(double decay) {
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    const ParameterGroup& group = groups_[g];
    const double rate = group.last_rate + (group.learning_rate - group.last_rate) * decay;
    for (std::size_t i = 0; i < group.parameters.size(); ++i) {
      const at::Tensor& parameter = group.parameters[i];
      if (!parameter.grad().defined()) continue;
      const at::Tensor gradient = parameter.grad().contiguous();
      Moments& moments = moments_[g][i];
      ++moments.steps;
      const auto t = static_cast<double>(moments.steps);
      const auto step_size = static_cast<float>(rate / (1 - std::pow(options_.beta1, t)));
      const auto root = static_cast<float>(std::sqrt(1 - std::pow(options_.beta2, t)));
      const auto keep = static_cast<float>(1 - rate * options_.weight_decay);
      const auto beta2 = static_cast<float>(options_.beta2);
      const auto rest1 = static_cast<float>(1 - options_.beta1), rest2 = static_cast<float>(1 - options_.beta2);
      const auto eps = static_cast<float>(options_.eps);
      const float* d = gradient.const_data_ptr<float>();
      float *p = parameter.data_ptr<float>(), *m = moments.first.data_ptr<float>(),
            *v = moments.second.data_ptr<float>();
      for (std::int64_t k = 0; k < parameter.numel(); ++k) {
        m[k] += rest1 * (d[k] - m[k]);
        v[k] = beta2 * v[k] + rest2 * d[k] * d[k];
        p[k] = p[k] * keep - step_size * m[k] / (std::sqrt(v[k]) / root + eps);
      }
    }
  }
}

void AdamW::zero_gradients() {
  for (ParameterGroup& group : groups_)
    for (at::Tensor& p : group.parameters) p.mutable_grad().reset();
}

double cosine_decay(std::int64_t step, std::int64_t steps) {
  return (1 + std::cos(std::numbers::pi * static_cast<double>(step) / static_cast<double>(steps))) / 2;
}

}  // namespace stamp::training
