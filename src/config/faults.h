// Inside config/: faults of a file as one error that a terminal can show.
#pragma once
#include <string>
#include <vector>

namespace stamp {

// The start of a text on one line, for a message that quotes it.
std::string shortened(const std::string& text);

// Throws ConfigError: one line a fault, at most 100 lines, long lines cut, control characters made harmless (values
// are quoted in messages, and a file may hold anything).
[[noreturn]] void throw_faults(std::vector<std::string> faults);

}  // namespace stamp
