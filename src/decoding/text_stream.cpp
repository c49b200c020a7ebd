#include "decoding/text_stream.h"

#include <string_view>

namespace stamp {
namespace {

// Tokens before the first one that it is spelled beside; more would be decoded again with every token.
constexpr std::size_t context_tokens = 8;
constexpr std::string_view replacement = "\xEF\xBF\xBD";  // U+FFFD: how tokenizers spell bytes that are no character

std::vector<std::int32_t> last_of(std::vector<std::int32_t> ids) {
  if (ids.size() > context_tokens) ids.erase(ids.begin(), ids.end() - context_tokens);
  return ids;
}

}  // namespace

TextStream::TextStream(const Tokenizer& tokenizer, std::vector<std::int32_t> context)
    : tokenizer_(tokenizer), ids_(last_of(std::move(context))), given_(tokenizer_.decode(ids_).size()) {}

std::string TextStream::behind(bool all) {
  std::string text = tokenizer_.decode(ids_);
  std::size_t end = text.size();
  if (!all)
    while (end >= given_ + replacement.size() && std::string_view(text).substr(0, end).ends_with(replacement))
      end -= replacement.size();
  if (end <= given_) return {};
  const std::string fresh = text.substr(given_, end - given_);
  given_ = end;
  return fresh;
}

std::string TextStream::push(std::int32_t id) {
  ids_.push_back(id);
  std::string fresh = behind(false);
  // Nothing is held back: the text starts anew from here, so that a long one is not decoded again and again.
  if (!fresh.empty() && ids_.size() > 4 * context_tokens && tokenizer_.decode(ids_).size() == given_) {
    ids_ = last_of(std::move(ids_));
    given_ = tokenizer_.decode(ids_).size();
  }
  return fresh;
}

std::string TextStream::finish() {
  return behind(true);
}

}  // namespace stamp
