#include "tokenizer/bpe.h"

#include "base/error.h"
#include "formats/utf8.h"
#include "tokenizer/merge_queue.h"

namespace stamp {
namespace {

// Printable bytes stand for themselves, the other 68 follow from U+0100 on in increasing order.
struct ByteTable {
  std::array<char32_t, 256> character{};
  std::array<std::int16_t, 0x200> byte{};  // -1: spells none
  ByteTable() {
    byte.fill(-1);
    char32_t next = 256;
    for (int b = 0; b < 256; ++b) {
      const bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
      const char32_t c = printable ? static_cast<char32_t>(b) : next++;
      character[static_cast<std::size_t>(b)] = c;
      byte[c] = static_cast<std::int16_t>(b);
    }
  }
};
const ByteTable& byte_table() {
  static const ByteTable table;
  return table;
}

}  // namespace

std::optional<std::string> bytes_of_spelling(std::string_view text) {
  const ByteTable& table = byte_table();
  std::string bytes;
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = decode_utf8(text, at);
    if (!c.valid || c.value >= table.byte.size() || table.byte[c.value] < 0) return std::nullopt;
    bytes += static_cast<char>(table.byte[c.value]);
    at += static_cast<std::size_t>(c.bytes);
  }
  return bytes;
}

std::string spelling_of_bytes(std::string_view bytes) {
  std::string text;
  for (const char b : bytes) append_utf8(text, byte_table().character[static_cast<unsigned char>(b)]);
  return text;
}

Bpe::Bpe(const std::vector<std::optional<std::string>>& pieces,
         const std::vector<std::pair<std::string, std::string>>& merges, bool whole_words, Unspelled unspelled,
         std::string end_of_word)
    : whole_words_(whole_words),
      unspelled_(std::move(unspelled)),
      entries_(static_cast<std::int32_t>(pieces.size())),
      end_of_word_(std::move(end_of_word)) {
  symbols_.reserve(pieces.size());
  for (std::size_t id = 0; id < pieces.size(); ++id)
    if (pieces[id]) symbols_[*pieces[id]] = static_cast<std::int32_t>(id);
  for (int b = 0; b < 256; ++b) bytes_[static_cast<std::size_t>(b)] = symbol_of(std::string(1, static_cast<char>(b)));
  ends_ = bytes_;
  for (int b = 0; !end_of_word_.empty() && b < 256; ++b)
    ends_[static_cast<std::size_t>(b)] = symbol_of(static_cast<char>(b) + end_of_word_);
  merges_.reserve(merges.size());
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const auto& [left, right] = merges[rank];
    const std::int32_t l = symbol_of(left), r = symbol_of(right);
    merges_.emplace(pair_key(l, r), Merge{static_cast<std::int32_t>(rank), symbol_of(left + right)});
  }
}

std::int32_t Bpe::symbol_of(const std::string& bytes) {
  const auto [at, fresh] = symbols_.emplace(bytes, 0);
  if (fresh) {
    at->second = entries_ + static_cast<std::int32_t>(extra_.size());
    extra_.push_back(bytes);
  }
  return at->second;
}

void Bpe::fail(std::string_view word, unsigned char byte) const {
  // The character that holds the byte, for the message alone.
  for (std::size_t at = 0; at < word.size();) {
    const auto size = static_cast<std::size_t>(decode_utf8(word, at).bytes);
    const std::string_view character = word.substr(at, size);
    if (character.find(static_cast<char>(byte)) != std::string_view::npos)
      throw DataError(unspelled_.where + ": the tokenizer cannot spell this text: its vocabulary has no token for " +
                      byte_in_words(byte, character));
    at += size;
  }
  throw DataError(unspelled_.where + ": the tokenizer's vocabulary has no token for " + byte_in_words(byte, ""));
}

void Bpe::encode(std::string_view word, std::vector<std::int32_t>& ids) const {
  if (whole_words_) {
    if (const auto found = symbols_.find(word); found != symbols_.end() && found->second < entries_) {
      ids.push_back(found->second);
      return;
    }
  }
  std::vector<std::int32_t> bytes;
  bytes.reserve(word.size());
  for (const char b : word) bytes.push_back(bytes_[static_cast<unsigned char>(b)]);
  if (!word.empty()) bytes.back() = ends_[static_cast<unsigned char>(word.back())];
  std::vector<Symbol> symbols = linked_symbols(bytes);
  const auto id_at = [&](std::int32_t index) { return symbols[static_cast<std::size_t>(index)].id; };
  merge_symbols<std::int32_t>(symbols,
                              [&](std::int32_t left, std::int32_t right) -> std::optional<Merged<std::int32_t>> {
                                const auto found = merges_.find(pair_key(id_at(left), id_at(right)));
                                if (found == merges_.end()) return std::nullopt;
                                return Merged<std::int32_t>{found->second.rank, found->second.symbol};
                              });
  bool unknown_before = false;
  const auto put = [&](std::int32_t symbol, unsigned char byte) {
    const bool known = symbol < entries_;
    if (!known && unspelled_.unknown < 0) fail(word, byte);
    if (known || !unknown_before || !unspelled_.fuse) ids.push_back(known ? symbol : unspelled_.unknown);
    unknown_before = !known;
  };
  for (std::int32_t i = symbols.empty() ? -1 : 0; i >= 0; i = symbols[static_cast<std::size_t>(i)].next) {
    const std::int32_t symbol = id_at(i);
    if (symbol < entries_) {
      put(symbol, 0);
      continue;
    }
    const std::string& text = extra_[static_cast<std::size_t>(symbol - entries_)];
    if (!end_of_word_.empty() && text.size() == 1 + end_of_word_.size() && text.substr(1) == end_of_word_) {
      put(symbol, static_cast<unsigned char>(text[0]));
      continue;
    }
    // A merge whose result is no entry falls apart into bytes, as in llama.cpp.
    for (const char b : text) put(bytes_[static_cast<unsigned char>(b)], static_cast<unsigned char>(b));
  }
}

}  // namespace stamp
