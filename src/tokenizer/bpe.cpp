#include "tokenizer/bpe.h"

#include <queue>
#include <tuple>

#include "formats/utf8.h"

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
         const std::vector<std::pair<std::string, std::string>>& merges, bool whole_words)
    : whole_words_(whole_words), entries_(static_cast<std::int32_t>(pieces.size())) {
  symbols_.reserve(pieces.size());
  for (std::size_t id = 0; id < pieces.size(); ++id)
    if (pieces[id]) symbols_[*pieces[id]] = static_cast<std::int32_t>(id);
  for (int b = 0; b < 256; ++b) bytes_[static_cast<std::size_t>(b)] = symbol_of(std::string(1, static_cast<char>(b)));
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

const Bpe::Merge* Bpe::merge_of(std::int32_t left, std::int32_t right) const {
  const auto found = merges_.find(pair_key(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

// A merge whose result is no entry falls apart into bytes, as in llama.cpp.
void Bpe::emit(std::int32_t symbol, std::vector<std::int32_t>& ids) const {
  if (symbol < entries_) {
    ids.push_back(symbol);
    return;
  }
  for (const char b : extra_[static_cast<std::size_t>(symbol - entries_)]) {
    const std::int32_t single = bytes_[static_cast<unsigned char>(b)];
    if (single < entries_) ids.push_back(single);
  }
}

// The best-ranked adjacent pair is merged first, the leftmost of equals; candidates wait in a heap over a linked list,
// so that a word of n bytes costs n log n. A candidate whose parts have changed meanwhile is dropped.
void Bpe::encode(std::string_view word, std::vector<std::int32_t>& ids) const {
  if (whole_words_) {
    if (const auto found = symbols_.find(word); found != symbols_.end() && found->second < entries_) {
      ids.push_back(found->second);
      return;
    }
  }
  struct Node {
    std::int32_t symbol, previous, next;
  };
  struct Candidate {
    std::int32_t rank, left, left_symbol, right_symbol;
    bool operator>(const Candidate& other) const { return std::tie(rank, left) > std::tie(other.rank, other.left); }
  };
  const auto size = static_cast<std::int32_t>(word.size());
  std::vector<Node> nodes(word.size());
  for (std::int32_t i = 0; i < size; ++i) {
    const auto at = static_cast<std::size_t>(i);
    nodes[at] = {bytes_[static_cast<unsigned char>(word[at])], i - 1, i + 1 < size ? i + 1 : -1};
  }
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> waiting;
  const auto consider = [&](std::int32_t left) {
    if (left < 0) return;
    const Node& node = nodes[static_cast<std::size_t>(left)];
    if (node.next < 0) return;
    const std::int32_t right_symbol = nodes[static_cast<std::size_t>(node.next)].symbol;
    if (const Merge* merge = merge_of(node.symbol, right_symbol))
      waiting.push({merge->rank, left, node.symbol, right_symbol});
  };
  for (std::int32_t i = 0; i + 1 < size; ++i) consider(i);
  while (!waiting.empty()) {
    const Candidate best = waiting.top();
    waiting.pop();
    Node& left = nodes[static_cast<std::size_t>(best.left)];
    if (left.symbol != best.left_symbol || left.next < 0) continue;
    Node& right = nodes[static_cast<std::size_t>(left.next)];
    if (right.symbol != best.right_symbol) continue;
    left.symbol = merge_of(best.left_symbol, best.right_symbol)->symbol;
    right.symbol = -1;
    left.next = right.next;
    if (left.next >= 0) nodes[static_cast<std::size_t>(left.next)].previous = best.left;
    consider(left.previous);
    consider(best.left);
  }
  for (std::int32_t i = size == 0 ? -1 : 0; i >= 0; i = nodes[static_cast<std::size_t>(i)].next)
    emit(nodes[static_cast<std::size_t>(i)].symbol, ids);
}

}  // namespace stamp
