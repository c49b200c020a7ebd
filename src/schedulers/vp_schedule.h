// The variance-preserving noise schedule that DPM-Solver++ and DDIM share. Specification models 14.1.
#pragma once
#include <vector>

#include "schedulers/settings.h"

namespace stamp {

// Running products of 1 - beta over the training steps. Reads num_train_timesteps, beta_start, beta_end, beta_schedule
// ("linear", "scaled_linear") and refuses trained_betas and rescale_betas_zero_snr.
std::vector<double> read_alphas_cumprod(const SchedulerSettings& settings);

// TrialError ("refused") unless 1 <= steps <= most.
void check_steps(std::int64_t steps, std::int64_t most);

// The most training steps a file may ask for: bounds what is allocated by it.
constexpr std::int64_t most_train_timesteps = 1000000;

}  // namespace stamp
