#include "schedulers/vp_schedule.h"

#include <cmath>

#include "base/error.h"

namespace stamp {

std::vector<double> read_alphas_cumprod(const SchedulerSettings& settings) {
  const std::int64_t count = settings.integer("num_train_timesteps", 1000, 2, most_train_timesteps);
  const double start = settings.real("beta_start", 1e-4, 1e-12, 0.999);
  const double end = settings.real("beta_end", 0.02, 1e-12, 0.999);
  const bool scaled = settings.choice("beta_schedule", "linear", {"linear", "scaled_linear"}) == "scaled_linear";
  settings.require_off("trained_betas", "the betas come from beta_schedule");
  settings.require_off("rescale_betas_zero_snr", "the schedule is used as it is");

  const double first = scaled ? std::sqrt(start) : start, last = scaled ? std::sqrt(end) : end;
  std::vector<double> out;
  double product = 1;
  for (std::int64_t i = 0; i < count; ++i) {
    const double at = count == 1 ? 0 : static_cast<double>(i) / static_cast<double>(count - 1);
    const double point = first + (last - first) * at;
    product *= 1 - (scaled ? point * point : point);
    out.push_back(product);
  }
  return out;
}

void check_steps(std::int64_t steps, std::int64_t most) {
  if (steps < 1 || steps > most)
    throw TrialError("refused",
                     std::to_string(steps) + " steps of denoising; the schedule has 1 to " + std::to_string(most));
}

}  // namespace stamp
