// Python's text rules that prompts of lm-evaluation-harness rest on.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace stamp {

std::int64_t code_points(std::string_view utf8);  // len(text)
// Bytes at the end (at the start) that str.rstrip() (str.lstrip()) would remove: Unicode white space.
std::size_t trailing_space(std::string_view utf8);
std::size_t leading_space(std::string_view utf8);
std::string stripped(std::string_view utf8);     // text.strip()
std::string capitalized(std::string_view utf8);  // text.capitalize(): first character upper, the rest lower
// HellaSwag's preprocess(): strip, " [title]" -> ". ", delete "[...]", two spaces -> one in a single pass.
std::string without_wikihow_marks(std::string_view utf8);

}  // namespace stamp
