// The worker's half of `stamp generate`.
#pragma once
#include <string>

#include "base/error.h"
#include "config/schema.h"
#include "engine/session.h"

namespace stamp {

// `file`: a GenerateRequest as JSON. Text to stdout, unbuffered, whole characters only; warnings and statistics to
// stderr. done; interrupted when SIGINT or SIGTERM came: while text is coming the token at hand is finished first,
// before that the process ends at once. A reader that closes stdout ends the text early, which is no error. StoreError
// when stdout cannot be written for another reason.
ExitCode run_generate(const std::string& file, const Schema& schema, Session& session);

}  // namespace stamp
