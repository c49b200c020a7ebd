// What a record says of the code and the machine that made it. No host names, no user names, no paths.
#pragma once
#include "base/json.h"

namespace stamp {

// {revision, dirty, build, compiler}: of this program as it was built, not of the sources as they lie there now.
// Outside a git checkout `revision` is "unknown" and `dirty` is absent.
Json code_provenance();
// {cpu, features: [...], cores, memory_bytes}: cores this process may use; features that change speed or rounding.
Json hardware_provenance();
std::string utc_now();  // "2026-01-31T12:00:00Z"

}  // namespace stamp
