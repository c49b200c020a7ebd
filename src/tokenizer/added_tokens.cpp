#include "tokenizer/added_tokens.h"

#include <utf8proc.h>

#include <algorithm>

#include "formats/utf8.h"

namespace stamp {
namespace {

bool white_space(char32_t c) {
  return (c >= 0x9 && c <= 0xD) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) ||
         c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

// Letters, marks, numbers and connectors: what \w means with Unicode classes.
bool word_character(char32_t c) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC: return true;
    default: return c == 0x200C || c == 0x200D;
  }
}

// The character that ends at `end`; 0 at the start of the text.
CodePoint before(std::string_view text, std::size_t end) {
  std::size_t begin = end;
  while (begin > 0 && (static_cast<unsigned char>(text[--begin]) & 0xC0U) == 0x80U) {
  }
  return end == 0 ? CodePoint() : decode_utf8(text, begin);
}

bool stands_alone(std::string_view text, std::size_t begin, std::size_t end) {
  const CodePoint left = before(text, begin), right = decode_utf8(text, end);
  return (left.bytes == 0 || !word_character(left.value)) && (right.bytes == 0 || !word_character(right.value));
}

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  tokens_.erase(std::remove_if(tokens_.begin(), tokens_.end(), [](const AddedToken& t) { return t.text.empty(); }),
                tokens_.end());
  std::stable_sort(tokens_.begin(), tokens_.end(),
                   [](const AddedToken& a, const AddedToken& b) { return a.text.size() > b.text.size(); });
  for (std::uint32_t i = 0; i < tokens_.size(); ++i) {
    const std::string& token = tokens_[i].text;
    auto& lengths = lengths_[static_cast<unsigned char>(token[0])];
    if (lengths.empty() || lengths.back() != token.size()) lengths.push_back(token.size());
    indices_[token].push_back(i);
  }
}

// The longest token that begins at `at`.
const AddedToken* AddedTokens::match(std::string_view text, std::size_t at, bool with_special) const {
  for (const std::size_t length : lengths_[static_cast<unsigned char>(text[at])]) {
    if (length > text.size() - at) continue;
    const auto found = indices_.find(text.substr(at, length));
    if (found == indices_.end()) continue;
    for (const std::uint32_t i : found->second)
      if (!tokens_[i].special || with_special) return &tokens_[i];
  }
  return nullptr;
}

std::vector<Cut> AddedTokens::cut(std::string_view text, bool with_special) const {
  std::vector<Cut> cuts;
  std::size_t done = 0;  // start of the text that is not yet part of a cut
  for (std::size_t at = 0; at < text.size();) {
    const AddedToken* found = match(text, at, with_special);
    if (found == nullptr) {
      ++at;
      continue;
    }
    std::size_t begin = at, end = at + found->text.size();
    at = end;
    if (found->single_word && !stands_alone(text, begin, end)) continue;
    if (found->strip_left)
      for (CodePoint c = before(text, begin); begin > done && white_space(c.value); c = before(text, begin))
        begin -= static_cast<std::size_t>(c.bytes);
    if (found->strip_right)
      for (CodePoint c = decode_utf8(text, end); c.bytes > 0 && white_space(c.value); c = decode_utf8(text, end))
        end += static_cast<std::size_t>(c.bytes);
    if (begin > done) cuts.push_back({text.substr(done, begin - done), -1});
    cuts.push_back({text.substr(begin, end - begin), found->id});
    // The search goes on behind the token itself: white space that it took along may hold another token, which then is
    // counted too, as in the tokenizers library.
    done = end;
  }
  if (done < text.size()) cuts.push_back({text.substr(done), -1});
  return cuts;
}

}  // namespace stamp
