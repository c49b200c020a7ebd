// What a careful reader must know, found in the records themselves.
#pragma once
#include <string>
#include <vector>

#include "report/source.h"

namespace stamp {

// Notes on all trials of the source: few windows, dirty code, debug build, mixed hardware or threads or revisions,
// failed, missing and pending trials, exclusions with their reasons, stored types of the checkpoint, findings against
// the bound, warnings.
std::vector<std::string> reader_notes(const ReportSource& source, const std::string& metric);
bool makes_images(const Record& record);  // of its metrics at least one reads images or denoising steps
// A transform along the sequence was at work while the model was scored teacher-forced. Specification methods 2.11.
bool sees_ahead(const Record& record);
inline constexpr const char* sees_ahead_note =
    "teacher-forced prefill with a transform along the sequence, or a mean over it, can see ahead: a quantized value "
    "at one position depends on later tokens, so these values may be too good, most of all for weak baselines";

}  // namespace stamp
