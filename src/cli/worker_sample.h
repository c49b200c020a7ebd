// The worker's half of `stamp sample`.
#pragma once
#include <string>

#include "base/error.h"
#include "config/schema.h"
#include "engine/session.h"

namespace stamp {

// `file`: a SampleRequest as JSON. PNG files, a sheet of all of them and samples.json go to its folder, their names to
// stdout as they are written; progress, warnings and figures to stderr.
ExitCode run_sample(const std::string& file, const Schema& schema, Session& session);

}  // namespace stamp
