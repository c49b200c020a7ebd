// Inside config/: settings and assignments become a typed trial.
#pragma once
#include <string>
#include <vector>

#include "config/experiment.h"

namespace stamp {

// Relative to the file that holds it; --set is relative to the working folder. ${NAME} is replaced; a path with an
// unset variable stays as written: the plan then says that the model is missing, and the file stays usable elsewhere.
std::string resolve_path(const std::string& written, const Place& place);

// Defaults, settings, assignments, in this order. Adds a fault for an option that its active plugin does not allow.
TrialSpec build_trial(const Schema& schema, const Assignments& settings, const Assignments& assignments,
                      std::vector<std::string>& faults);

// One line for every setting or axis that matters in no trial of the sweep ("an option that does nothing is a defect").
// Empty as well when the sweep is too large to be looked at.
std::vector<std::string> idle_settings(const Experiment& experiment);

}  // namespace stamp
