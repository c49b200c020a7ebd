#include "config/faults.h"

#include "base/error.h"

namespace stamp {
namespace {

constexpr std::size_t most_lines = 100, longest_line = 1000, longest_quote = 60;

// Cut at a character, not inside one (UTF-8 continuation bytes are 10xxxxxx).
std::string cut(const std::string& text, std::size_t limit) {
  if (text.size() <= limit) return text;
  std::size_t end = limit;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end).append("...");
}

std::string harmless(std::string text) {
  for (char& c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) c = ' ';
  }
  return text;
}

}  // namespace

std::string shortened(const std::string& text) {
  return harmless(cut(text, longest_quote));
}

void throw_faults(std::vector<std::string> faults) {
  const std::size_t all = faults.size();
  if (all > most_lines) faults.resize(most_lines);
  for (std::string& line : faults) line = harmless(cut(line, longest_line));
  if (all > most_lines) faults.push_back("and " + std::to_string(all - most_lines) + " more faults");
  throw ConfigError(faults);
}

}  // namespace stamp
