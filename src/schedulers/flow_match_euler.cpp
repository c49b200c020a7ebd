#include "schedulers/flow_match_euler.h"

#include "schedulers/vp_schedule.h"

namespace stamp {
namespace {

class FlowMatchEuler final : public Scheduler {
 public:
  FlowMatchEuler(const SchedulerSettings& settings, std::int64_t steps) {
    prediction_ = Prediction::flow;
    const std::int64_t train_steps = settings.integer("num_train_timesteps", 1000, 2, most_train_timesteps);
    const double shift = settings.real("shift", 1, 1e-3, 1e3);
    settings.require_off("use_dynamic_shifting", "the shift is the same for all sizes");
    settings.require_off("shift_terminal", "noise levels are not stretched");
    settings.require_off("invert_sigmas", "noise levels fall");
    for (const char* other : {"use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"})
      settings.require_off(other, "noise levels are evenly spaced before the shift");
    settings.require_off("stochastic_sampling", "steps add no noise");
    settings.ignore({"base_shift", "max_shift", "base_image_seq_len", "max_image_seq_len", "time_shift_type"});
    check_steps(steps, train_steps);

    // The reference keeps the ends of its shifted training schedule and shifts what lies between them once more, so the
    // small end is shifted twice. The ends are float32 there.
    const auto shift32 = static_cast<float>(shift), less_one = static_cast<float>(shift - 1);
    const auto shifted_end = [&](float sigma) { return double{shift32 * sigma / (1 + less_one * sigma)}; };
    const auto count = static_cast<double>(train_steps);
    const double high = shifted_end(1) * count, low = shifted_end(1 / static_cast<float>(train_steps)) * count;
    const double width = steps == 1 ? 0 : (low - high) / static_cast<double>(steps - 1);
    for (std::int64_t k = 0; k < steps; ++k) {
      const bool last = k > 0 && k + 1 == steps;
      const double sigma = (last ? low : static_cast<double>(k) * width + high) / count;
      sigmas_.push_back(shift * sigma / (1 + (shift - 1) * sigma));
      // What the model was trained to see is computed from the float32 noise level.
      timesteps_.push_back(double{static_cast<float>(sigmas_.back()) * static_cast<float>(train_steps)});
    }
    sigmas_.push_back(0);
  }

 private:
  void advance(std::int64_t i, std::span<const float> output, std::span<float> sample,
               std::span<const float>) override {
    const double width = sigmas_[static_cast<std::size_t>(i) + 1] - sigmas_[static_cast<std::size_t>(i)];
    for (std::size_t e = 0; e < sample.size(); ++e)
      sample[e] = static_cast<float>(double{sample[e]} + width * double{output[e]});
  }
};

}  // namespace

SchedulerPlugin flow_match_euler_plugin() {
  PluginInfo info;
  info.name = "FlowMatchEulerDiscreteScheduler";
  info.summary = "Euler steps of flow matching, with a fixed shift of the noise levels";
  info.source = "arXiv 2403.03206; specification models 14.3";
  info.cost = "one evaluation of the model per step";
  return {std::move(info), [](const SchedulerSettings& settings, std::int64_t steps) -> std::unique_ptr<Scheduler> {
            return std::make_unique<FlowMatchEuler>(settings, steps);
          }};
}

}  // namespace stamp
