// Calibrated bases of a trial's slots: how the transform measures one, and what a cached one must agree with.
#pragma once
#include <string>

#include "engine/slots.h"
#include "transforms/basis_measure.h"

namespace stamp {

// That of klt, or the transform's own. TrialError ("unsupported") for a transform without.
const BasisPlugin& basis_plugin(const std::string& transform);

// `request`: the transform's, as transform_request() gives it; `low_bits` of the slot.
BasisRequest basis_request(const QuantizationSpec& spec, const SequenceTransformRequest& request, double low_bits);
// BasisPlugin::depends of that; null where the basis depends on its rows alone.
Json basis_depends(const QuantizationSpec& spec, const SequenceTransformRequest& request, double low_bits);

}  // namespace stamp
