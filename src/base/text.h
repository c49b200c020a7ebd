// Small string helpers.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace stamp {

// The candidate with the smallest edit distance, "" when none is close enough to be a likely slip.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);
// " (did you mean \"x\"?)" or "".
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates);
std::string join(const std::vector<std::string>& parts, std::string_view separator);
std::vector<std::string> split(std::string_view text, char separator);
std::string trim(std::string_view text);
// Shortest decimal text that reads back as the same double; integers without ".0". Independent of the locale.
std::string number_text(double value);
std::string bytes_text(std::uint64_t bytes);  // "1.4 GB" (10^9)
std::string duration_text(double seconds);    // "9 min", "4.2 s", "1 h 05 min"

}  // namespace stamp
