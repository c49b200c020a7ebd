#include "tokenizer/charsmap.h"

#include <utf8proc.h>

#include <cstring>

#include "base/error.h"
#include "formats/utf8.h"
#include "tokenizer/normalize.h"

namespace stamp {
namespace {

// Fields of one unit of the double array.
bool has_leaf(std::uint32_t unit) {
  return (unit >> 8) & 1;
}
std::uint32_t label_of(std::uint32_t unit) {
  return unit & 0x800000FFU;
}
std::uint32_t offset_of(std::uint32_t unit) {
  return (unit >> 10) << ((unit & 0x200U) >> 6);
}

std::size_t character_bytes(std::string_view text, std::size_t at) {
  return static_cast<std::size_t>(decode_utf8(text, at).bytes);
}

// The end of the grapheme cluster that begins at `at`.
std::size_t cluster_end(std::string_view text, std::size_t at) {
  utf8proc_int32_t state = 0;
  CodePoint before = decode_utf8(text, at);
  at += static_cast<std::size_t>(before.bytes);
  while (at < text.size()) {
    const CodePoint next = decode_utf8(text, at);
    if (utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(before.value),
                                         static_cast<utf8proc_int32_t>(next.value), &state))
      break;
    at += static_cast<std::size_t>(next.bytes);
    before = next;
  }
  return at;
}

}  // namespace

Charsmap::Charsmap(std::string_view blob, std::string where) : where_(std::move(where)) {
  if (blob.empty()) return;
  std::uint32_t size = 0;
  if (blob.size() < sizeof(size)) throw DataError(where_ + ": the table of replacements is cut short");
  std::memcpy(&size, blob.data(), sizeof(size));
  blob.remove_prefix(sizeof(size));
  if (size > blob.size() || size % 4 != 0 || size == 0)
    throw DataError(where_ + ": the table of replacements says that its keys take " + std::to_string(size) +
                    " bytes; they are a multiple of 4, at most the " + std::to_string(blob.size()) + " that follow");
  units_.resize(size / 4);
  std::memcpy(units_.data(), blob.data(), size);
  replacements_ = std::string(blob.substr(size));
}

Charsmap::Found Charsmap::find(std::string_view text, bool longest) const {
  Found found;
  if (units_.empty()) return found;
  std::uint32_t position = offset_of(units_[0]), place = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::uint32_t byte = static_cast<unsigned char>(text[i]);
    position ^= byte;
    if (position >= units_.size()) break;
    const std::uint32_t unit = units_[position];
    if (label_of(unit) != byte) break;
    position ^= offset_of(unit);
    if (!has_leaf(unit)) continue;
    if (position >= units_.size()) break;
    place = units_[position] & 0x7FFFFFFFU;
    found.bytes = i + 1;
    if (!longest) break;
  }
  if (found.bytes == 0) return found;
  const std::size_t end = place < replacements_.size() ? replacements_.find('\0', place) : std::string::npos;
  if (end == std::string::npos)
    throw DataError(where_ + ": the table of replacements is damaged: one begins at byte " + std::to_string(place) +
                    " of " + std::to_string(replacements_.size()) + " and does not end");
  found.text = std::string_view(replacements_).substr(place, end - place);
  return found;
}

std::string replaced_by_cluster(std::string_view text, const Charsmap& table) {
  constexpr std::size_t kShort = 6;
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = cluster_end(text, at);
    const std::string_view cluster = text.substr(at, end - at);
    if (cluster.size() < kShort) {
      if (const auto found = table.shortest(cluster); found.bytes > 0) {
        out += found.text;
        at = end;
        continue;
      }
    }
    for (; at < end;) {
      const std::string_view character = text.substr(at, character_bytes(text, at));
      const auto found = table.shortest(character);
      out += found.bytes > 0 ? found.text : character;
      at += character.size();
    }
  }
  return out;
}

std::string SentencePieceNormalizer::apply(std::string_view text) const {
  struct Step {
    std::string_view text;
    std::size_t bytes;
  };
  const auto next = [&]() -> Step {
    std::size_t longest = 0;
    for (const std::string& piece : kept)
      if (piece.size() > longest && text.substr(0, piece.size()) == piece) longest = piece.size();
    if (longest > 0) return {text.substr(0, longest), longest};
    if (const auto found = table.longest(text); found.bytes > 0) return {found.text, found.bytes};
    const CodePoint c = decode_utf8(text, 0);
    return c.valid ? Step{text.substr(0, static_cast<std::size_t>(c.bytes)), static_cast<std::size_t>(c.bytes)}
                   : Step{"\ufffd", 1};
  };
  if (single_spaces) {
    while (!text.empty()) {
      const Step step = next();
      if (step.text != " ") break;
      text.remove_prefix(step.bytes);
    }
  }
  if (text.empty()) return {};
  const std::string_view space = spell_spaces ? kSpaceMark : std::string_view(" ");
  std::string out;
  if (space_in_front) out += space;
  bool after_space = single_spaces;
  while (!text.empty()) {
    Step step = next();
    text.remove_prefix(step.bytes);
    while (after_space && !step.text.empty() && step.text.front() == ' ') step.text.remove_prefix(1);
    if (!step.text.empty()) {
      out += replaced(step.text, " ", space);
      after_space = step.text.back() == ' ';
    }
    if (!single_spaces) after_space = false;
  }
  while (single_spaces && out.size() >= space.size() &&
         out.compare(out.size() - space.size(), space.size(), space) == 0)
    out.resize(out.size() - space.size());
  return out;
}

}  // namespace stamp
