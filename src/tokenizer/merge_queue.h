// The merge loop that every kind of BPE shares. Specification: models 4.3.
#pragma once
#include <cstdint>
#include <optional>
#include <queue>
#include <tuple>
#include <vector>

namespace stamp {

// One symbol of a word, in a doubly linked list over the word's symbols; -1 ends the list on either side.
struct Symbol {
  std::int32_t id = 0;
  std::int32_t previous = -1, next = -1;
};
constexpr std::int32_t kMergedAway = -1;  // id of a symbol that has become part of the one before it

inline std::vector<Symbol> linked_symbols(const std::vector<std::int32_t>& ids) {
  const auto size = static_cast<std::int32_t>(ids.size());
  std::vector<Symbol> symbols(ids.size());
  for (std::int32_t i = 0; i < size; ++i)
    symbols[static_cast<std::size_t>(i)] = {ids[static_cast<std::size_t>(i)], i - 1, i + 1 < size ? i + 1 : -1};
  return symbols;
}

template <typename Priority>
struct Merged {
  Priority priority{};  // the smallest merges first
  std::int32_t id = 0;
};

// Merges the adjacent pair of smallest priority, the leftmost of equals, until `lookup` knows no pair.
// `lookup(left, right)`: std::optional<Merged<Priority>> for the symbols at these two indices, which are neighbours.
// Candidates wait in a heap and are dropped when a part has changed meanwhile: a word of n symbols costs n log n,
// however long it is (SentencePiece models take a whole text as one word). An index whose id is unchanged still stands
// for the same stretch of text, since symbols only grow; so ids tell a stale candidate.
template <typename Priority, typename Lookup>
void merge_symbols(std::vector<Symbol>& symbols, const Lookup& lookup) {
  struct Candidate {
    Priority priority;
    std::int32_t left, left_id, right_id, merged;
    bool operator>(const Candidate& other) const {
      return std::tie(priority, left) > std::tie(other.priority, other.left);
    }
  };
  const auto at = [&](std::int32_t index) -> Symbol& { return symbols[static_cast<std::size_t>(index)]; };
  const auto candidate = [&](std::int32_t left) -> std::optional<Candidate> {
    if (left < 0 || at(left).next < 0) return std::nullopt;
    const std::int32_t right = at(left).next;
    const std::optional<Merged<Priority>> found = lookup(left, right);
    if (!found) return std::nullopt;
    return Candidate{found->priority, left, at(left).id, at(right).id, found->id};
  };
  std::vector<Candidate> first;
  for (std::int32_t i = 0; i + 1 < static_cast<std::int32_t>(symbols.size()); ++i)
    if (const auto found = candidate(i)) first.push_back(*found);
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> waiting(std::greater<>(), std::move(first));
  const auto consider = [&](std::int32_t left) {
    if (const auto found = candidate(left)) waiting.push(*found);
  };
  while (!waiting.empty()) {
    const Candidate best = waiting.top();
    waiting.pop();
    Symbol& left = at(best.left);
    if (left.id != best.left_id || left.next < 0) continue;
    Symbol& right = at(left.next);
    if (right.id != best.right_id) continue;
    left.id = best.merged;
    right.id = kMergedAway;
    left.next = right.next;
    if (left.next >= 0) at(left.next).previous = best.left;
    consider(left.previous);
    consider(best.left);
  }
}

}  // namespace stamp
