// Noise schedules and the update rules of denoising: from the model's output at one step to the sample of the next.
// Coefficients in double, samples in float32. Specification models 14; checked against diffusers' own classes by
// scripts/reference/schedulers.py.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/plugin.h"

namespace stamp {

// What the model's output means, and so how sample and prediction are related at a noise level.
enum class Prediction { epsilon, flow, trigflow };
const char* name_of(Prediction prediction);  // "epsilon", "flow", "trigflow"

// The steps of one denoising run. It starts from standard normal noise times init_noise_sigma() * data_scale(); at step
// i = 0, 1, ..., steps() - 1 the model sees the sample as it is and timesteps()[i].
class Scheduler {
 public:
  virtual ~Scheduler() = default;
  std::int64_t steps() const { return static_cast<std::int64_t>(timesteps_.size()); }
  Prediction prediction() const { return prediction_; }
  // What the model gets as its time. Whole numbers for DPM-Solver++ and DDIM; 1000 sigma as float32 for flow matching
  // by Euler; angles for SCM.
  const std::vector<double>& timesteps() const { return timesteps_; }
  // steps() + 1 noise levels that end in 0 (SCM: its angles). Empty for DDIM, which has none.
  const std::vector<double>& sigmas() const { return sigmas_; }
  double init_noise_sigma() const { return 1; }
  // Samples are this many times the latents: SCM's sigma_data, 1 otherwise.
  double data_scale() const { return data_scale_; }
  // Whether step i reads fresh standard normal noise (SCM, all but the last).
  bool needs_noise(std::int64_t i) const { return fresh_noise_ && i + 1 < steps(); }

  // `sample` (n, any layout, a batch counts as one sample) becomes the sample of step i + 1; after the last step it is
  // the result. Steps run in order and i = 0 starts anew, so that several runs may follow one another. std::logic_error
  // for a step out of order, spans of different lengths, and missing noise.
  void step(std::int64_t i, std::span<const float> model_output, std::span<float> sample,
            std::span<const float> noise = {});

 protected:
  virtual void advance(std::int64_t i, std::span<const float> output, std::span<float> sample,
                       std::span<const float> noise) = 0;
  std::vector<double> timesteps_, sigmas_;
  Prediction prediction_ = Prediction::epsilon;
  double data_scale_ = 1;
  bool fresh_noise_ = false;

 private:
  std::int64_t next_ = 0;
  std::size_t elements_ = 0;
};

// Reads diffusers' scheduler_config.json; `_class_name` chooses, fields that are missing or null (as -Infinity is read)
// have the class's defaults. DataError for a class, field or value that is not supported here, with what is allowed;
// TrialError ("refused") for a number of steps that the schedule does not have. `place`: names the file in messages.
std::unique_ptr<Scheduler> make_scheduler(const Json& scheduler_config, std::int64_t steps,
                                          const std::string& place = "scheduler_config.json");

class SchedulerSettings;
struct SchedulerPlugin {
  PluginInfo info;  // its name is diffusers' class name
  std::unique_ptr<Scheduler> (*make)(const SchedulerSettings& settings, std::int64_t steps);
};
const std::vector<SchedulerPlugin>& schedulers();

}  // namespace stamp
