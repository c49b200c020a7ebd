#include "report/html.h"

#include <cstdint>

namespace stamp {

namespace {

constexpr const char* replacement = "\xEF\xBF\xBD";

// Length of the UTF-8 sequence at `i`, 0 when there is none: overlong forms, surrogates and cut-off ends included.
std::size_t sequence_length(std::string_view s, std::size_t i) {
  const auto at = [&](std::size_t k) {
    return k < s.size() ? static_cast<unsigned char>(s[k]) : static_cast<unsigned char>(0);
  };
  const auto follows = [&](std::size_t k) { return (at(k) & 0xC0) == 0x80; };
  const unsigned char c = at(i);
  if (c < 0x80) return 1;
  if (c >= 0xC2 && c <= 0xDF) return follows(i + 1) ? 2 : 0;
  if (c >= 0xE0 && c <= 0xEF) {
    if (!follows(i + 1) || !follows(i + 2)) return 0;
    if ((c == 0xE0 && at(i + 1) < 0xA0) || (c == 0xED && at(i + 1) > 0x9F)) return 0;
    return 3;
  }
  if (c >= 0xF0 && c <= 0xF4) {
    if (!follows(i + 1) || !follows(i + 2) || !follows(i + 3)) return 0;
    if ((c == 0xF0 && at(i + 1) < 0x90) || (c == 0xF4 && at(i + 1) > 0x8F)) return 0;
    return 4;
  }
  return 0;
}

}  // namespace

std::string html_text(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t n = sequence_length(text, i);
    const char c = text[i];
    if (n == 0) {
      out += replacement;
      ++i;
      continue;
    }
    if (n > 1)
      out += text.substr(i, n);
    else if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '"')
      out += "&quot;";
    else if (c == '\'')
      out += "&#39;";
    else if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t')
      out += replacement;
    else
      out += c;
    i += n;
  }
  return out;
}

std::string script_json(const Json& json) {
  const std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  std::string out;
  out.reserve(text.size());
  for (char c : text) {
    if (c == '<')
      out += "\\u003c";
    else if (c == '>')
      out += "\\u003e";
    else if (c == '&')
      out += "\\u0026";
    else
      out += c;
  }
  return out;
}

std::string data_uri(std::string_view bytes, const std::string& mime) {
  static constexpr char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out = "data:" + mime + ";base64,";
  out.reserve(out.size() + bytes.size() * 4 / 3 + 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k)
      group = group << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    for (std::size_t k = 0; k < 4; ++k) out += i + k <= bytes.size() ? alphabet[group >> (18 - 6 * k) & 63U] : '=';
  }
  return out;
}

std::string html_list(const std::vector<std::string>& items, const std::string& css_class) {
  if (items.empty()) return "";
  std::string out = css_class.empty() ? "<ul>" : "<ul class=\"" + css_class + "\">";
  for (const std::string& item : items) out += "<li>" + html_text(item) + "</li>";
  return out + "</ul>\n";
}

std::string html_facts(const std::vector<std::pair<std::string, std::string>>& rows) {
  std::string out;
  for (const auto& [head, value] : rows)
    if (!value.empty())
      out += "<tr><th scope=\"row\">" + html_text(head) + "</th><td>" + html_text(value) + "</td></tr>\n";
  return out.empty() ? "" : "<table class=\"facts\">\n" + out + "</table>\n";
}

std::string html_id(std::string_view text) {
  std::string out;
  for (char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    out += plain ? c : '-';
  }
  return out;
}

}  // namespace stamp
