#include "training/fake_quantize.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <vector>

#include "quant/grid.h"
#include "training/group_quantizer.h"

namespace stamp::training {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Settings {
  GroupRule rule;
  double clip = 1;
  std::int64_t group = 0;
  bool identity_gradient = false;
};

// Clip factors of a group of row i: none, one for all, or one a row; times the constant factor.
class Clips {
 public:
  Clips(const at::Tensor& low, const at::Tensor& high, double constant)
      : low_(low.defined() ? low.const_data_ptr<float>() : nullptr),
        high_(high.defined() ? high.const_data_ptr<float>() : nullptr),
        low_step_(low.defined() && low.numel() > 1),
        high_step_(high.defined() && high.numel() > 1),
        constant_(constant) {}
  double low(std::int64_t row) const {
    return low_ ? constant_ * static_cast<double>(low_[row * low_step_]) : constant_;
  }
  double high(std::int64_t row) const {
    return high_ ? constant_ * static_cast<double>(high_[row * high_step_]) : constant_;
  }

 private:
  const float *low_, *high_;
  std::int64_t low_step_, high_step_;
  double constant_;
};

at::Tensor quantized(const at::Tensor& x, const at::Tensor& low, const at::Tensor& high, const Settings& s) {
  at::Tensor out = at::empty_like(x);
  const std::int64_t cols = x.size(-1), rows = cols ? x.numel() / cols : 0, group = s.group;
  const float* from = x.const_data_ptr<float>();
  float* to = out.data_ptr<float>();
  const Clips clips(low, high, s.clip);
#pragma omp parallel for schedule(static) if (x.numel() > 16384)
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t c = 0; c < cols; c += group)
      quantize_group(from + i * cols + c, std::min(group, cols - c), s.rule, clips.low(i), clips.high(i),
                     to + i * cols + c);
  return out;
}

at::Tensor clip_gradient(const std::vector<float>& parts, const at::Tensor& clip, double constant) {
  if (!clip.defined()) return {};
  at::Tensor out = at::zeros_like(clip);
  float* to = out.data_ptr<float>();
  const auto targets = static_cast<std::size_t>(clip.numel());
  if (targets == 1) {
    double sum = 0;
    for (const float p : parts) sum += static_cast<double>(p);
    to[0] = static_cast<float>(sum * constant);
  } else {
    for (std::size_t i = 0; i < targets; ++i) to[i] = static_cast<float>(static_cast<double>(parts[i]) * constant);
  }
  return out;
}

class Quantize : public torch::autograd::Function<Quantize> {
 public:
  // Optional, because the library takes no undefined tensors here.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const std::optional<at::Tensor>& clip_low,
                            const std::optional<at::Tensor>& clip_high, const Settings& s) {
    const at::Tensor low = clip_low.value_or(at::Tensor()), high = clip_high.value_or(at::Tensor());
    if (!s.identity_gradient) context->save_for_backward({x, low, high});
    context->saved_data["steps"] = s.rule.steps;
    context->saved_data["symmetric"] = s.rule.symmetric;
    context->saved_data["clamp"] = s.rule.clamp;
    context->saved_data["clip"] = s.clip;
    context->saved_data["group"] = s.group;
    context->saved_data["identity"] = s.identity_gradient;
    return quantized(x, low, high, s);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    auto& data = context->saved_data;
    if (data["identity"].toBool()) return {gradients[0], {}, {}, {}};
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &low = saved[1], &high = saved[2];
    const GroupRule rule{data["steps"].toInt(), data["symmetric"].toBool(), data["clamp"].toBool()};
    const double constant = data["clip"].toDouble();
    const std::int64_t group = data["group"].toInt();
    const at::Tensor above = gradients[0].contiguous();
    at::Tensor out = at::empty_like(x);
    const std::int64_t cols = x.size(-1), rows = x.numel() / cols;
    const float *values = x.const_data_ptr<float>(), *from = above.const_data_ptr<float>();
    float* to = out.data_ptr<float>();
    const Clips clips(low, high, constant);
    std::vector<float> lows(static_cast<std::size_t>(rows)), highs(lows.size());
#pragma omp parallel for schedule(static) if (x.numel() > 16384)
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t c = 0; c < cols; c += group) {
        const std::int64_t at = i * cols + c;
        const ClipGradient g = group_gradient(values + at, from + at, std::min(group, cols - c), rule, clips.low(i),
                                              clips.high(i), to + at);
        lows[static_cast<std::size_t>(i)] += g.low;
        highs[static_cast<std::size_t>(i)] += g.high;
      }
    return {out, clip_gradient(lows, low, constant), clip_gradient(highs, high, constant), {}};
  }
};

void check_clip(const at::Tensor& clip, std::int64_t allowed, const char* what) {
  if (clip.defined() && (clip.numel() != allowed || clip.scalar_type() != at::kFloat || !clip.is_contiguous()))
    throw std::logic_error(std::string(what) + " needs " + std::to_string(allowed) +
                           " contiguous float32 elements, not " + std::to_string(clip.numel()));
}

at::Tensor run(const at::Tensor& x, const FakeQuantize& how, const at::Tensor& low, const at::Tensor& high,
               bool clamp) {
  if (how.bits >= 16) return x;
  if (x.scalar_type() != at::kFloat) throw std::logic_error("fake_quantize works on float32");
  Settings s;
  s.rule = {steps_of(how.bits), how.symmetric, clamp};
  s.clip = how.clip;
  s.group = how.group > 0 ? std::min(how.group, x.size(-1)) : std::max<std::int64_t>(x.size(-1), 1);
  s.identity_gradient = how.gradient == StraightThrough::identity;
  const auto optional = [](const at::Tensor& t) { return t.defined() ? std::optional(t) : std::nullopt; };
  return Quantize::apply(x.contiguous(), optional(low), optional(high), s);
}

}  // namespace

at::Tensor fake_quantize(const at::Tensor& x, const FakeQuantize& how, const at::Tensor& clip_low,
                         const at::Tensor& clip_high) {
  check_clip(clip_low, 1, "clip_low");
  check_clip(clip_high, 1, "clip_high");
  return run(x, how, clip_low, clip_high, false);
}

at::Tensor fake_quantize_weight(const at::Tensor& weight, const FakeQuantize& how, const at::Tensor& clip_low,
                                const at::Tensor& clip_high) {
  if (weight.dim() != 2) throw std::logic_error("fake_quantize_weight takes a matrix");
  check_clip(clip_low, weight.size(0), "clip_low");
  check_clip(clip_high, weight.size(0), "clip_high");
  return run(weight, how, clip_low, clip_high, true);
}

at::Tensor clamp_rows(const at::Tensor& weight, const at::Tensor& clip_low, const at::Tensor& clip_high) {
  const at::Tensor w = weight.contiguous();
  check_clip(clip_low, w.size(0), "clip_low");
  check_clip(clip_high, w.size(0), "clip_high");
  at::Tensor out = at::empty_like(w);
  const std::int64_t rows = w.size(0), cols = w.size(1);
  const float* from = w.const_data_ptr<float>();
  float* to = out.data_ptr<float>();
  const Clips clips(clip_low, clip_high, 1.0);
  for (std::int64_t i = 0; i < rows; ++i) {
    const float* row = from + i * cols;
    const auto [least, most] = std::minmax_element(row, row + cols);
    const float low = *least * static_cast<float>(clips.low(i)), high = *most * static_cast<float>(clips.high(i));
    for (std::int64_t j = 0; j < cols; ++j) to[i * cols + j] = std::min(std::max(row[j], low), high);
  }
  return out;
}

}  // namespace stamp::training
