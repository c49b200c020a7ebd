#include "schedulers/scm.h"

#include <cmath>

#include "schedulers/vp_schedule.h"

namespace stamp {
namespace {

// The defaults of the reference, which are no fields of its configuration. Angles are float32 there.
constexpr float first_angle = 1.57080F;
constexpr float middle_angle = 1.3F;  // of two steps

class Scm final : public Scheduler {
 public:
  Scm(const SchedulerSettings& settings, std::int64_t steps) {
    prediction_ = Prediction::trigflow;
    fresh_noise_ = true;
    const std::int64_t train_steps = settings.integer("num_train_timesteps", 1000, 2, most_train_timesteps);
    settings.choice("prediction_type", "trigflow", {"trigflow"});
    data_scale_ = settings.real("sigma_data", 0.5, 1e-6, 1e6);
    check_steps(steps, train_steps);
    if (steps == 2) {
      sigmas_ = {first_angle, middle_angle, 0};
    } else {
      for (std::int64_t k = 0; k <= steps; ++k)
        sigmas_.push_back(double{first_angle} * static_cast<double>(steps - k) / static_cast<double>(steps));
    }
    timesteps_.assign(sigmas_.begin(), sigmas_.end() - 1);
  }

 private:
  void advance(std::int64_t i, std::span<const float> output, std::span<float> sample,
               std::span<const float> noise) override {
    const double from = sigmas_[static_cast<std::size_t>(i)], to = sigmas_[static_cast<std::size_t>(i) + 1];
    const double cos_from = std::cos(from), sin_from = std::sin(from);
    const double cos_to = std::cos(to), sin_to = std::sin(to) * data_scale_;
    const bool last = i + 1 == steps();
    for (std::size_t e = 0; e < sample.size(); ++e) {
      const double data = cos_from * double{sample[e]} - sin_from * double{output[e]};
      sample[e] = static_cast<float>(last ? data : cos_to * data + sin_to * double{noise[e]});
    }
  }
};

}  // namespace

SchedulerPlugin scm_plugin() {
  PluginInfo info;
  info.name = "SCMScheduler";
  info.summary = "consistency sampling in one or few steps, with fresh noise between them (SANA-Sprint)";
  info.source = "arXiv 2410.11081; specification models 14.5";
  info.cost = "one evaluation of the model per step";
  return {std::move(info), [](const SchedulerSettings& settings, std::int64_t steps) -> std::unique_ptr<Scheduler> {
            return std::make_unique<Scm>(settings, steps);
          }};
}

}  // namespace stamp
