#include "schedulers/dpm_solver.h"

#include <cmath>

#include "schedulers/vp_schedule.h"

namespace stamp {
namespace {

// round(linspace(0, n - 1, steps + 1)) from the end, without the 0. Half goes to the even neighbour.
std::vector<double> rounded_times(std::int64_t train_steps, std::int64_t steps) {
  const double width = static_cast<double>(train_steps - 1) / static_cast<double>(steps);
  std::vector<double> out;
  for (std::int64_t k = steps; k >= 1; --k)
    out.push_back(k == steps ? static_cast<double>(train_steps - 1) : std::nearbyint(static_cast<double>(k) * width));
  return out;
}

// Shifted noise levels of flow matching, falling, without the 0. The points between are those of numpy's linspace to
// the bit: times are these levels cut to whole numbers, and one ulp may decide.
std::vector<double> flow_sigmas(std::int64_t train_steps, std::int64_t steps, double shift) {
  const double stop = 1 / static_cast<double>(train_steps), width = (stop - 1) / static_cast<double>(steps);
  std::vector<double> out;
  for (std::int64_t k = steps; k >= 1; --k) {
    const double at = 1 - (k == steps ? stop : static_cast<double>(k) * width + 1);
    out.push_back(shift * at / (1 + (shift - 1) * at));
  }
  return out;
}

class DpmSolver final : public Scheduler {
 public:
  DpmSolver(const SchedulerSettings& settings, std::int64_t steps) {
    const bool flow = settings.flag("use_flow_sigmas", false);
    prediction_ = flow ? Prediction::flow : Prediction::epsilon;
    if (flow)
      settings.choice("prediction_type", "epsilon", {"flow_prediction"});
    else
      settings.choice("prediction_type", "epsilon", {"epsilon"});
    order_ = settings.integer("solver_order", 2, 1, 2);
    settings.choice("algorithm_type", "dpmsolver++", {"dpmsolver++"});
    settings.choice("solver_type", "midpoint", {"midpoint"});
    settings.choice("final_sigmas_type", "zero", {"zero"});
    settings.require_off("thresholding", "latents are not clipped");
    for (const char* other : {"use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas"})
      settings.require_off(other, "noise levels are those of the training schedule or of flow matching");
    settings.require_off("use_dynamic_shifting", "flow_shift is the same for all sizes");
    settings.require_null("lambda_min_clipped", "no noise level is clipped, which is written -Infinity or null");
    settings.require_null("variance_type", "the model's output is the prediction alone");
    // The last noise level is zero, where the update is of first order however these two are set.
    settings.ignore({"lower_order_final", "euler_at_final", "dynamic_thresholding_ratio", "sample_max_value"});
    settings.ignore({"time_shift_type"});

    const std::vector<double> products = read_alphas_cumprod(settings);
    const auto train_steps = static_cast<std::int64_t>(products.size());
    const double shift = settings.real("flow_shift", 1, 1e-3, 1e3);
    // Without noise prediction two steps may share a time, which is what the model gets; with it they would share the
    // noise level too.
    check_steps(steps, flow ? train_steps : train_steps - 1);
    if (flow) {
      settings.ignore({"timestep_spacing", "steps_offset"});  // times follow from the noise levels
      sigmas_ = flow_sigmas(train_steps, steps, shift);
      for (const double sigma : sigmas_) timesteps_.push_back(std::trunc(sigma * static_cast<double>(train_steps)));
    } else {
      settings.choice("timestep_spacing", "linspace", {"linspace"});
      settings.ignore({"steps_offset"});  // of the other spacings
      timesteps_ = rounded_times(train_steps, steps);
      for (const double t : timesteps_) {
        const double product = products[static_cast<std::size_t>(t)];
        sigmas_.push_back(std::sqrt((1 - product) / product));
      }
    }
    sigmas_.push_back(0);
  }

 private:
  // sample = signal * data + noise * epsilon
  double signal(double sigma) const {
    return prediction_ == Prediction::flow ? 1 - sigma : 1 / std::sqrt(1 + sigma * sigma);
  }
  double noise_of(double sigma) const { return prediction_ == Prediction::flow ? sigma : sigma * signal(sigma); }
  double lambda(double sigma) const { return std::log(signal(sigma)) - std::log(noise_of(sigma)); }

  void advance(std::int64_t i, std::span<const float> output, std::span<float> sample,
               std::span<const float>) override {
    const auto at = static_cast<std::size_t>(i);
    const double from = sigmas_[at], to = sigmas_[at + 1];
    const bool last = i + 1 == steps(), second_order = order_ == 2 && i > 0 && !last;
    const double h = lambda(to) - lambda(from);  // infinite at the end: the sample becomes the data prediction
    const double keep = noise_of(to) / noise_of(from), take = -signal(to) * std::expm1(-h);
    const double slope = second_order ? 0.5 * h / (lambda(from) - lambda(sigmas_[at - 1])) : 0;
    const bool flow = prediction_ == Prediction::flow;
    const double signal_here = signal(from), noise_here = noise_of(from);
    previous_.resize(sample.size());
    for (std::size_t e = 0; e < sample.size(); ++e) {
      const double x = sample[e], o = output[e];
      const double data = flow ? x - from * o : (x - noise_here * o) / signal_here;
      const double ahead = second_order ? data + slope * (data - previous_[e]) : data;
      sample[e] = static_cast<float>(keep * x + take * ahead);
      previous_[e] = data;
    }
  }

  std::int64_t order_ = 2;
  std::vector<double> previous_;  // the data prediction of the step before
};

}  // namespace

SchedulerPlugin dpm_solver_plugin() {
  PluginInfo info;
  info.name = "DPMSolverMultistepScheduler";
  info.summary = "DPM-Solver++, second order, for noise prediction (PixArt-Sigma) and flow matching (SANA)";
  info.source = "arXiv 2211.01095; specification models 14.2";
  info.cost = "one evaluation of the model per step";
  return {std::move(info), [](const SchedulerSettings& settings, std::int64_t steps) -> std::unique_ptr<Scheduler> {
            return std::make_unique<DpmSolver>(settings, steps);
          }};
}

}  // namespace stamp
