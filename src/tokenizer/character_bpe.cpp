#include "tokenizer/character_bpe.h"

#include <algorithm>

#include "base/error.h"
#include "formats/utf8.h"
#include "tokenizer/merge_queue.h"

namespace stamp {
namespace {

std::uint64_t pair_key(std::int32_t left, std::int32_t right) {
  return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32) | static_cast<std::uint32_t>(right);
}

std::string_view character_at(std::string_view text, std::size_t at) {
  return text.substr(at, static_cast<std::size_t>(decode_utf8(text, at).bytes));
}

}  // namespace

RankedBpe::RankedBpe(Settings settings)
    : whole_words_(settings.whole_words), unspelled_(std::move(settings.unspelled)) {
  ids_.reserve(settings.entries.size());
  for (Entry& entry : settings.entries) ids_.emplace(std::move(entry.text), entry.id);
  bytes_.fill(-1);
  if (settings.byte_fallback) {
    for (int b = 0; b < 256; ++b) {
      const auto found = ids_.find(spelling_of_byte(b));
      if (found != ids_.end()) bytes_[static_cast<std::size_t>(b)] = found->second;
    }
  }
  merges_.reserve(settings.merges.size());
  for (std::size_t rank = 0; rank < settings.merges.size(); ++rank) {
    const auto& [left, right] = settings.merges[rank];
    merges_.insert_or_assign(pair_key(ids_.at(left), ids_.at(right)),
                             Merge{static_cast<std::int32_t>(rank), ids_.at(left + right)});
  }
}

void RankedBpe::encode(std::string_view word, std::vector<std::int32_t>& ids) const {
  if (whole_words_) {
    if (const auto found = ids_.find(word); found != ids_.end()) {
      ids.push_back(found->second);
      return;
    }
  }
  std::vector<std::int32_t> characters;
  ByteFallback fallback(bytes_, unspelled_, characters);
  for (std::size_t at = 0; at < word.size();) {
    const std::string_view character = character_at(word, at);
    at += character.size();
    if (const auto found = ids_.find(character); found != ids_.end()) {
      characters.push_back(found->second);
      fallback.spelled();
    } else {
      fallback.put(character);
    }
  }
  std::vector<Symbol> symbols = linked_symbols(characters);
  const auto id_at = [&](std::int32_t index) { return symbols[static_cast<std::size_t>(index)].id; };
  merge_symbols<std::int32_t>(symbols,
                              [&](std::int32_t left, std::int32_t right) -> std::optional<Merged<std::int32_t>> {
                                const auto found = merges_.find(pair_key(id_at(left), id_at(right)));
                                if (found == merges_.end()) return std::nullopt;
                                return Merged<std::int32_t>{found->second.rank, found->second.id};
                              });
  for (std::int32_t i = symbols.empty() ? -1 : 0; i >= 0; i = symbols[static_cast<std::size_t>(i)].next)
    ids.push_back(id_at(i));
}

ScoredBpe::ScoredBpe(Settings settings)
    : entries_(std::move(settings.entries)), unspelled_(std::move(settings.unspelled)), bytes_(settings.bytes) {
  index_.reserve(entries_.size());
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    index_.emplace(entries_[i].text, static_cast<std::int32_t>(i));
    longest_ = std::max(longest_, entries_[i].text.size());
  }
}

void ScoredBpe::encode(std::string_view word, std::vector<std::int32_t>& ids) const {
  constexpr std::int32_t kNoEntry = -2;  // a character that the vocabulary does not have; it may still merge
  std::vector<std::size_t> begins;       // of each character, and the end of the word
  std::vector<std::int32_t> characters;
  const auto entry_of = [&](std::string_view text) {
    const auto found = text.size() > longest_ ? index_.end() : index_.find(text);
    return found == index_.end() ? kNoEntry : found->second;
  };
  for (std::size_t at = 0; at < word.size();) {
    const std::string_view character = character_at(word, at);
    begins.push_back(at);
    characters.push_back(entry_of(character));
    at += character.size();
  }
  begins.push_back(word.size());

  std::vector<Symbol> symbols = linked_symbols(characters);
  const auto symbol_at = [&](std::int32_t index) -> const Symbol& { return symbols[static_cast<std::size_t>(index)]; };
  const auto begin_of = [&](std::int32_t index) {
    return index < 0 ? word.size() : begins[static_cast<std::size_t>(index)];
  };
  // Where an unused entry falls apart: at its pair that was considered last, as in SentencePiece. Bytes of the left
  // part.
  std::unordered_map<std::int32_t, std::size_t> parts;
  merge_symbols<float>(symbols, [&](std::int32_t left, std::int32_t right) -> std::optional<Merged<float>> {
    const std::size_t begin = begin_of(left), end = begin_of(symbol_at(right).next);
    const std::int32_t entry = entry_of(word.substr(begin, end - begin));
    if (entry == kNoEntry) return std::nullopt;
    const Scored& scored = entries_[static_cast<std::size_t>(entry)];
    if (scored.unused) parts[entry] = begin_of(right) - begin;
    return Merged<float>{-scored.score, entry};
  });

  ByteFallback fallback(bytes_, unspelled_, ids);
  std::vector<std::string_view> waiting;  // texts to be written, the next one last
  for (std::int32_t i = symbols.empty() ? -1 : 0; i >= 0; i = symbol_at(i).next) {
    waiting.push_back(word.substr(begin_of(i), begin_of(symbol_at(i).next) - begin_of(i)));
    while (!waiting.empty()) {
      const std::string_view text = waiting.back();
      waiting.pop_back();
      const std::int32_t entry = entry_of(text);
      if (entry == kNoEntry) {  // a single character: everything longer came out of a merge
        fallback.put(text);
        continue;
      }
      const Scored& scored = entries_[static_cast<std::size_t>(entry)];
      const auto part = scored.unused ? parts.find(entry) : parts.end();
      if (part != parts.end()) {
        waiting.push_back(text.substr(part->second));
        waiting.push_back(text.substr(0, part->second));
        continue;
      }
      ids.push_back(scored.id);
      fallback.spelled();
    }
  }
}

}  // namespace stamp
