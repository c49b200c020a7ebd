#include "schedulers/ddim.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "schedulers/vp_schedule.h"

namespace stamp {
namespace {

class Ddim final : public Scheduler {
 public:
  Ddim(const SchedulerSettings& settings, std::int64_t steps) {
    products_ = read_alphas_cumprod(settings);
    const auto train_steps = static_cast<std::int64_t>(products_.size());
    settings.choice("prediction_type", "epsilon", {"epsilon"});
    settings.choice("timestep_spacing", "leading", {"leading"});
    settings.require_off("thresholding", "latents are not clipped by quantiles");
    settings.ignore({"dynamic_thresholding_ratio", "sample_max_value"});
    settings.ignore({"skip_prk_steps"});  // of another class; stands in files that were made for both
    const bool clip = settings.flag("clip_sample", true);
    const double range = settings.real("clip_sample_range", 1, 0, 1e6);
    clip_ = clip ? range : std::numeric_limits<double>::infinity();
    final_product_ = settings.flag("set_alpha_to_one", true) ? 1 : products_[0];
    const std::int64_t offset = settings.integer("steps_offset", 0, 0, train_steps);
    check_steps(steps, train_steps);

    stride_ = train_steps / steps;
    const std::int64_t highest = (steps - 1) * stride_ + offset;
    if (highest >= train_steps)
      settings.refuse("steps_offset",
                      std::to_string(offset) + " moves the first of " + std::to_string(steps) + " steps to " +
                          std::to_string(highest),
                      "times below " + std::to_string(train_steps));
    for (std::int64_t k = steps - 1; k >= 0; --k) timesteps_.push_back(static_cast<double>(k * stride_ + offset));
  }

 private:
  void advance(std::int64_t i, std::span<const float> output, std::span<float> sample,
               std::span<const float>) override {
    const auto time = static_cast<std::int64_t>(timesteps_[static_cast<std::size_t>(i)]);
    const double here = products_[static_cast<std::size_t>(time)];
    const double next = time >= stride_ ? products_[static_cast<std::size_t>(time - stride_)] : final_product_;
    const double noise_here = std::sqrt(1 - here), signal_here = std::sqrt(here);
    const double noise_next = std::sqrt(1 - next), signal_next = std::sqrt(next);
    for (std::size_t e = 0; e < sample.size(); ++e) {
      const double epsilon = output[e];
      const double data = std::clamp((double{sample[e]} - noise_here * epsilon) / signal_here, -clip_, clip_);
      sample[e] = static_cast<float>(signal_next * data + noise_next * epsilon);
    }
  }

  std::vector<double> products_;
  double final_product_ = 1, clip_ = 0;
  std::int64_t stride_ = 1;
};

}  // namespace

SchedulerPlugin ddim_plugin() {
  PluginInfo info;
  info.name = "DDIMScheduler";
  info.summary = "DDIM without added noise, evenly spaced times (DiT)";
  info.source = "arXiv 2010.02502, equation 12; specification models 14.4";
  info.cost = "one evaluation of the model per step";
  return {std::move(info), [](const SchedulerSettings& settings, std::int64_t steps) -> std::unique_ptr<Scheduler> {
            return std::make_unique<Ddim>(settings, steps);
          }};
}

}  // namespace stamp
