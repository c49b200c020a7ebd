// What the inputs of linear layers lose before they are quantized: activations.shift. Without a transform along the
// sequence it takes off what all tokens have in common, which such a transform gathers in a few rows; calibrated, a
// bias of the layer gives it back, and one subtraction a value is left at run time. Channel-wise shifting is from
// Outlier Suppression+ (Wei et al. 2023), which takes the middle of the range where this takes the mean.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "config/shift.h"
#include "engine/calibration.h"
#include "engine/monitor.h"
#include "engine/slots.h"

namespace stamp {

using ChannelMeans = std::map<std::string, std::vector<float>>;  // slot -> mean of every channel (d)

// Linear inputs among the planned slots, in their order, but those of a context.
std::vector<LinearSite*> shifted_sites(const std::vector<SlotPlan>& plans);

// Over all tokens of all items, without the first `skip` of every sequence. As the quantizer would see them, so behind
// what the method does online.
ChannelMeans measure_channel_means(const CalibrationPass& pass, const std::vector<LinearSite*>& sites,
                                   std::int64_t skip, Monitor& monitor);

// Sets what `spec` asks for, if anything, on every planned linear input; `means` are those of all of them where
// calibration gives them. std::logic_error where one is missing. It stays until clear_shifts().
void set_shifts(const std::vector<SlotPlan>& plans, const QuantizationSpec& spec, const ChannelMeans& means);
void clear_shifts(Network& network);
// What the rows of a slot lose, for keys: "none", "calibrated", "sequence".
std::string shift_of(const QuantizationSpec& spec, const SlotInfo& slot);

}  // namespace stamp
