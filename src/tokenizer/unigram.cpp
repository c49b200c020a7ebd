#include "tokenizer/unigram.h"

#include <algorithm>
#include <limits>

#include "formats/utf8.h"

namespace stamp {

Unigram::Unigram(Settings settings) : settings_(std::move(settings)) {
  // SentencePiece starts its maximum from the smallest positive float, so that no entry of the usual kind reaches it.
  user_defined_score_ = static_cast<double>(std::numeric_limits<float>::min());
  piece_at_.push_back(-1);
  for (std::size_t i = 0; i < settings_.pieces.size(); ++i) {
    const Piece& piece = settings_.pieces[i];
    if (!piece.user_defined) user_defined_score_ = std::max(user_defined_score_, static_cast<double>(piece.score));
    std::int32_t node = 0;
    for (const char c : piece.text) {
      const std::uint64_t key =
          (static_cast<std::uint64_t>(static_cast<std::uint32_t>(node)) << 8) | static_cast<unsigned char>(c);
      const auto [at, fresh] = children_.emplace(key, static_cast<std::int32_t>(piece_at_.size()));
      if (fresh) piece_at_.push_back(-1);
      node = at->second;
    }
    piece_at_[static_cast<std::size_t>(node)] = static_cast<std::int32_t>(i);
  }
}

void Unigram::encode(std::string_view word, std::vector<std::int32_t>& ids) const {
  constexpr std::int32_t kNone = -1, kUnknown = -2;
  struct End {
    double score = 0;
    std::size_t begin = 0;
    std::int32_t piece = kNone;
  };
  std::vector<End> ends(word.size() + 1);
  const auto offer = [&](std::size_t begin, std::size_t end, double score, std::int32_t piece) {
    const double before = ends[begin].score;
    const double sum = settings_.float_sums
                           ? static_cast<double>(static_cast<float>(before) + static_cast<float>(score))
                           : before + score;
    End& there = ends[end];
    if (there.piece != kNone && sum <= there.score) return;
    there = {sum, begin, piece};
  };
  for (std::size_t begin = 0; begin < word.size();) {
    const auto character = static_cast<std::size_t>(decode_utf8(word, begin).bytes);
    bool spelled = false;
    std::int32_t node = 0;
    for (std::size_t at = begin; at < word.size(); ++at) {
      node = child(node, static_cast<unsigned char>(word[at]));
      if (node < 0) break;
      const std::int32_t piece = piece_at_[static_cast<std::size_t>(node)];
      if (piece < 0) continue;
      const Piece& p = settings_.pieces[static_cast<std::size_t>(piece)];
      const std::size_t bytes = at + 1 - begin;
      offer(begin, at + 1,
            p.user_defined ? static_cast<double>(bytes) * user_defined_score_ - 0.1 : static_cast<double>(p.score),
            piece);
      spelled = spelled || bytes == character;
    }
    if (!spelled) offer(begin, begin + character, settings_.unknown_score, kUnknown);
    begin += character;
  }
  std::vector<std::size_t> cuts;  // ends of the parts, last first
  for (std::size_t end = word.size(); end > 0; end = ends[end].begin) cuts.push_back(end);
  ByteFallback fallback(settings_.bytes, settings_.unspelled, ids);
  for (auto cut = cuts.rbegin(); cut != cuts.rend(); ++cut) {
    const End& end = ends[*cut];
    if (end.piece == kUnknown) {
      fallback.put(word.substr(end.begin, *cut - end.begin));
      continue;
    }
    ids.push_back(settings_.pieces[static_cast<std::size_t>(end.piece)].id);
    fallback.spelled();
  }
}

}  // namespace stamp
