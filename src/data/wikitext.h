// The text that quantization papers evaluate on, from WikiText's raw file.
#pragma once
#include <string>
#include <string_view>

namespace stamp {

// Rows are the lines with their "\n"; a line of white space becomes the empty row; rows are joined with "\n\n".
// Specification: methods 13.1 (the GPTQ line of papers).
std::string joined_rows(std::string_view raw);

}  // namespace stamp
