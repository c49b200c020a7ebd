#include "schedulers/scheduler.h"

#include <stdexcept>

namespace stamp {

const char* name_of(Prediction prediction) {
  switch (prediction) {
    case Prediction::epsilon: return "epsilon";
    case Prediction::flow: return "flow";
    case Prediction::trigflow: return "trigflow";
  }
  throw std::logic_error("unknown prediction");
}

void Scheduler::step(std::int64_t i, std::span<const float> model_output, std::span<float> sample,
                     std::span<const float> noise) {
  if (i != 0 && i != next_)
    throw std::logic_error("denoising step " + std::to_string(i) + " where step " + std::to_string(next_) +
                           " or a new start is due");
  if (i >= steps()) throw std::logic_error("a denoising step behind the last one");
  if (i == 0) elements_ = sample.size();
  if (sample.size() != elements_ || model_output.size() != elements_)
    throw std::logic_error("a denoising step with spans of different lengths");
  if (needs_noise(i) && noise.size() != elements_)
    throw std::logic_error("a denoising step without the noise that it needs");
  next_ = i + 1;
  advance(i, model_output, sample, noise);
}

}  // namespace stamp
