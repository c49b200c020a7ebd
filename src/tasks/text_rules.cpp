#include "tasks/text_rules.h"

#include <utf8proc.h>

#include <vector>

#include "formats/utf8.h"

namespace stamp {
namespace {

// str.isspace() of one character: bidirectional type WS, B or S, or category Zs.
bool python_space(char32_t c) {
  if ((c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0x2028 || c == 0x2029) return true;
  return utf8proc_category(static_cast<utf8proc_int32_t>(c)) == UTF8PROC_CATEGORY_ZS;
}

std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t found = text.find(from, at);
    out += text.substr(at, found - at);
    if (found == std::string_view::npos) break;
    out += to;
    at = found + from.size();
  }
  return out;
}

// re.sub(r"\[.*?\]", "", text): the dot stops at a newline.
std::string without_brackets(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t open = text.find('[', at);
    out += text.substr(at, open - at);
    if (open == std::string_view::npos) break;
    const std::size_t close = text.find_first_of("]\n", open + 1);
    if (close != std::string_view::npos && text[close] == ']') {
      at = close + 1;
    } else {
      out += '[';
      at = open + 1;
    }
  }
  return out;
}

}  // namespace

std::int64_t code_points(std::string_view utf8) {
  std::int64_t n = 0;
  for (std::size_t at = 0; at < utf8.size(); ++n) at += static_cast<std::size_t>(decode_utf8(utf8, at).bytes);
  return n;
}

std::size_t leading_space(std::string_view utf8) {
  std::size_t at = 0;
  while (at < utf8.size()) {
    const CodePoint c = decode_utf8(utf8, at);
    if (!python_space(c.value)) break;
    at += static_cast<std::size_t>(c.bytes);
  }
  return at;
}

std::size_t trailing_space(std::string_view utf8) {
  std::size_t end = 0;  // of the last character that is not space
  for (std::size_t at = 0; at < utf8.size();) {
    const CodePoint c = decode_utf8(utf8, at);
    at += static_cast<std::size_t>(c.bytes);
    if (!python_space(c.value)) end = at;
  }
  return utf8.size() - end;
}

std::string stripped(std::string_view utf8) {
  utf8.remove_suffix(trailing_space(utf8));
  utf8.remove_prefix(leading_space(utf8));
  return std::string(utf8);
}

std::string capitalized(std::string_view utf8) {
  std::string out;
  for (std::size_t at = 0; at < utf8.size();) {
    const CodePoint c = decode_utf8(utf8, at);
    const auto value = static_cast<utf8proc_int32_t>(c.value);
    append_utf8(out, static_cast<char32_t>(at == 0 ? utf8proc_totitle(value) : utf8proc_tolower(value)));
    at += static_cast<std::size_t>(c.bytes);
  }
  return out;
}

std::string without_wikihow_marks(std::string_view utf8) {
  return replaced(without_brackets(replaced(stripped(utf8), " [title]", ". ")), "  ", " ");
}

}  // namespace stamp
