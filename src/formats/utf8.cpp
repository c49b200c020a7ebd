#include "formats/utf8.h"

namespace stamp {

CodePoint decode_utf8(std::string_view text, std::size_t at) {
  constexpr char32_t kReplacement = 0xFFFD;
  if (at >= text.size()) return {};
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(at);
  if (lead < 0x80) return {lead, 1, true};
  if (lead < 0xC2 || lead > 0xF4) return {kReplacement, 1, false};
  const int length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  char32_t value = lead & (0x7FU >> length);
  for (int k = 1; k < length; ++k) {
    if (at + k >= text.size()) return {kReplacement, k, false};
    const unsigned next = byte(at + k);
    unsigned low = 0x80, high = 0xBF;
    if (k == 1) {  // the second byte rules out overlong forms, surrogates and values above U+10FFFF
      if (lead == 0xE0) low = 0xA0;
      if (lead == 0xED) high = 0x9F;
      if (lead == 0xF0) low = 0x90;
      if (lead == 0xF4) high = 0x8F;
    }
    if (next < low || next > high) return {kReplacement, k, false};
    value = (value << 6) | (next & 0x3F);
  }
  return {value, length, true};
}

void append_utf8(std::string& out, char32_t value) {
  const auto put = [&](char32_t byte) { out += static_cast<char>(byte); };
  if (value < 0x80) {
    put(value);
  } else if (value < 0x800) {
    put(0xC0 | (value >> 6));
    put(0x80 | (value & 0x3F));
  } else if (value < 0x10000) {
    put(0xE0 | (value >> 12));
    put(0x80 | ((value >> 6) & 0x3F));
    put(0x80 | (value & 0x3F));
  } else {
    put(0xF0 | (value >> 18));
    put(0x80 | ((value >> 12) & 0x3F));
    put(0x80 | ((value >> 6) & 0x3F));
    put(0x80 | (value & 0x3F));
  }
}

std::size_t well_formed_bytes(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const CodePoint c = decode_utf8(text, at);
    if (!c.valid) break;
    at += static_cast<std::size_t>(c.bytes);
  }
  return at;
}

bool is_utf8(std::string_view text) {
  return well_formed_bytes(text) == text.size();
}

std::string repaired_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = decode_utf8(text, at);
    if (c.valid) {
      out.append(text, at, static_cast<std::size_t>(c.bytes));
    } else {
      append_utf8(out, c.value);
    }
    at += static_cast<std::size_t>(c.bytes);
  }
  return out;
}

}  // namespace stamp
