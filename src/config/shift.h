// Which trials take a mean off the inputs of linear layers (quantization.activations.shift), said once.
#pragma once
#include "config/spec.h"

namespace stamp {

// hadanorm takes the mean of the sequence off itself.
inline bool shifts_inputs(const QuantizationSpec& q) {
  return q.activations.bits < 16 && q.activations.shift != "none" && q.method != "hadanorm";
}
// By means that calibration gives.
inline bool needs_channel_means(const QuantizationSpec& q) {
  return shifts_inputs(q) && q.activations.shift == "calibrated";
}

}  // namespace stamp
