// The tokenizer itself: cut out added tokens, normalize, split into words, encode each word.
#include <algorithm>

#include "base/error.h"
#include "formats/utf8.h"
#include "tokenizer/bpe.h"
#include "tokenizer/character_bpe.h"
#include "tokenizer/settings.h"
#include "tokenizer/unigram.h"

namespace stamp {
namespace {

using Use = TokenizerSettings::Use;

Use use_of(const TokenizerSettings& settings, std::size_t id) {
  return settings.uses.empty() ? Use::entry : settings.uses[id];
}

Unspelled unspelled_of(const TokenizerSettings& settings) {
  return {settings.unknown, settings.fuse_unknown, settings.where};
}

std::vector<std::pair<std::string, std::string>> byte_merges(const TokenizerSettings& settings) {
  std::vector<std::pair<std::string, std::string>> merges;
  merges.reserve(settings.merges.size());
  for (const auto& [left, right] : settings.merges) {
    auto l = bytes_of_spelling(left), r = bytes_of_spelling(right);
    if (!l || !r || l->empty() || r->empty())
      throw DataError(settings.where + ": the merge \"" + repaired_utf8(left) + " " + repaired_utf8(right) +
                      "\" is not made of byte characters");
    merges.emplace_back(std::move(*l), std::move(*r));
  }
  return merges;
}

std::unique_ptr<WordModel> byte_model(const TokenizerSettings& settings) {
  std::vector<std::optional<std::string>> pieces(settings.spellings.size());
  for (std::size_t id = 0; id < pieces.size(); ++id)
    if (!settings.spellings[id].empty() && use_of(settings, id) == Use::entry)
      pieces[id] = bytes_of_spelling(settings.spellings[id]);
  return std::make_unique<Bpe>(pieces, byte_merges(settings), settings.whole_words, unspelled_of(settings),
                               settings.end_of_word);
}

std::unique_ptr<WordModel> ranked_model(const TokenizerSettings& settings) {
  RankedBpe::Settings model;
  for (std::size_t id = 0; id < settings.spellings.size(); ++id)
    if (!settings.spellings[id].empty() && use_of(settings, id) != Use::apart)
      model.entries.push_back({settings.spellings[id], static_cast<std::int32_t>(id)});
  model.merges = settings.merges;
  model.whole_words = settings.whole_words;
  model.byte_fallback = settings.byte_fallback;
  model.unspelled = unspelled_of(settings);
  return std::make_unique<RankedBpe>(std::move(model));
}

std::unique_ptr<WordModel> scored_model(const TokenizerSettings& settings) {
  ScoredBpe::Settings model;
  model.bytes.fill(-1);
  for (std::size_t i = 0; i < settings.spellings.size(); ++i) {
    const std::string& text = settings.spellings[i];
    const auto id = static_cast<std::int32_t>(i);
    const Use use = use_of(settings, i);
    if (use == Use::byte) model.bytes[static_cast<std::size_t>(byte_of_spelling(text))] = id;
    if (text.empty() || (use != Use::entry && use != Use::unused)) continue;
    ScoredBpe::Scored entry;
    entry.text = text;
    entry.id = id;
    entry.score = settings.scores[i];
    entry.unused = use == Use::unused;
    model.entries.push_back(std::move(entry));
  }
  model.unspelled = unspelled_of(settings);
  return std::make_unique<ScoredBpe>(std::move(model));
}

std::unique_ptr<WordModel> unigram_model(const TokenizerSettings& settings) {
  Unigram::Settings model;
  model.bytes.fill(-1);
  double lowest = 0;
  const auto is_user_defined = [&](std::int32_t id) {
    return std::find(settings.user_defined.begin(), settings.user_defined.end(), id) != settings.user_defined.end();
  };
  for (std::size_t i = 0; i < settings.spellings.size(); ++i) {
    const std::string& text = settings.spellings[i];
    const auto id = static_cast<std::int32_t>(i);
    const Use use = use_of(settings, i);
    if (settings.byte_fallback && byte_of_spelling(text) >= 0)
      model.bytes[static_cast<std::size_t>(byte_of_spelling(text))] = id;
    if (text.empty() || use != Use::entry) continue;
    model.pieces.push_back({text, id, settings.scores[i], is_user_defined(id)});
    const auto score = static_cast<double>(settings.scores[i]);
    if (!model.pieces.back().user_defined) lowest = model.pieces.size() == 1 ? score : std::min(lowest, score);
  }
  model.unknown_score = lowest - Unigram::kUnknownPenalty;
  model.unspelled = unspelled_of(settings);
  model.float_sums = settings.float_sums;
  return std::make_unique<Unigram>(std::move(model));
}

std::unique_ptr<WordModel> word_model(const TokenizerSettings& settings) {
  switch (settings.model) {
    case TokenizerSettings::Model::bytes: return byte_model(settings);
    case TokenizerSettings::Model::characters: return ranked_model(settings);
    case TokenizerSettings::Model::scores: return scored_model(settings);
    case TokenizerSettings::Model::unigram: return unigram_model(settings);
  }
  return nullptr;
}

// Those to be looked for before normalization, or those after it, which are spelled as normalization leaves them.
std::vector<AddedToken> added_where(const TokenizerSettings& settings, bool after_normalization) {
  std::vector<AddedToken> some;
  for (AddedToken token : settings.added) {
    if (token.normalized != after_normalization) continue;
    if (after_normalization) token.text = normalized(token.text, settings.normalize);
    if (settings.spaces_first) token.text = replaced(token.text, " ", kSpaceMark);
    some.push_back(std::move(token));
  }
  return some;
}

class PipelineTokenizer : public Tokenizer {
 public:
  explicit PipelineTokenizer(TokenizerSettings settings)
      : settings_(std::move(settings)),
        model_(word_model(settings_)),
        raw_tokens_(added_where(settings_, false)),
        normalized_tokens_(added_where(settings_, true)),
        added_(settings_.spellings.size(), false) {
    for (const AddedToken& token : settings_.added) added_.at(static_cast<std::size_t>(token.id)) = true;
    for (const AddedToken& token : normalized_tokens_.all()) normalized_texts_.emplace(token.id, token.text);
  }

  std::vector<std::int32_t> encode(std::string_view text, bool special) const override {
    std::string repaired, spelled;
    if (!is_utf8(text)) {
      repaired = repaired_utf8(text);
      text = repaired;
    }
    if (settings_.spaces_first) {
      spelled = replaced(text, " ", kSpaceMark);
      text = spelled;
    }
    std::vector<std::int32_t> ids;
    if (special) ids = settings_.before;
    Worker worker(*this, special, ids);
    for (const Cut& cut : raw_tokens_.cut(text, special)) {
      const bool at_start = cut.text.data() == text.data();
      if (cut.id >= 0) {
        ids.push_back(cut.id);
      } else if (settings_.normalize.empty()) {
        worker.piece(cut.text, at_start);
      } else {
        worker.piece(normalized(cut.text, settings_.normalize), at_start);
      }
    }
    if (special) ids.insert(ids.end(), settings_.after.begin(), settings_.after.end());
    return ids;
  }

  std::string decode(const std::vector<std::int32_t>& ids) const override {
    for (const std::int32_t id : ids) {
      if (id < 0 || static_cast<std::size_t>(id) >= settings_.spellings.size())
        throw DataError("token id " + std::to_string(id) + " is outside the vocabulary of " +
                        std::to_string(settings_.spellings.size()));
    }
    return repaired_utf8(settings_.model == TokenizerSettings::Model::bytes ? joined_bytes(ids) : decoded_texts(ids));
  }

  std::int64_t vocabulary() const override { return static_cast<std::int64_t>(settings_.spellings.size()); }
  std::int64_t bos() const override { return settings_.bos; }
  bool prepends_bos() const override { return !settings_.before.empty() && settings_.before.front() == settings_.bos; }
  std::string kind() const override { return kind_of(settings_); }
  std::string digest() const override { return digest_of(settings_); }

 private:
  // Splits and encodes one text; remembers the words it has seen, which most words of a long text are.
  class Worker {
   public:
    Worker(const PipelineTokenizer& owner, bool special, std::vector<std::int32_t>& ids)
        : owner_(owner), special_(special), ids_(ids) {
      for (const SplitStep& step : owner.settings_.steps)
        searches_.push_back(std::make_unique<Pattern::Search>(step.pattern));
    }
    // `at_start`: the piece is the beginning of the text.
    void piece(std::string_view text, bool at_start) {
      for (const Cut& cut : owner_.normalized_tokens_.cut(text, special_)) {
        if (cut.id >= 0) {
          ids_.push_back(cut.id);
        } else {
          words(cut.text, 0, at_start && cut.text.data() == text.data());
        }
      }
    }

   private:
    // Steps from `step` on.
    void words(std::string_view text, std::size_t step, bool at_start) {
      const auto& metaspace = owner_.settings_.metaspace;
      if (!metaspace || step != owner_.settings_.metaspace_step) return split_words(text, step, at_start);
      split_words(metaspace->apply(text, at_start), step, at_start);
    }
    void split_words(std::string_view text, std::size_t step, bool at_start) {
      if (step == searches_.size()) return word(text);
      std::vector<std::string_view> parts;
      split(text, owner_.settings_.steps[step], *searches_[step], parts);
      for (const std::string_view part : parts) words(part, step + 1, at_start && part.data() == text.data());
    }
    void word(std::string_view text) {
      constexpr std::size_t kLongest = 64;  // longer words hardly come twice
      if (text.size() > kLongest) return owner_.model_->encode(text, ids_);
      if (const auto found = seen_.find(text); found != seen_.end()) {
        ids_.insert(ids_.end(), found->second.begin(), found->second.end());
        return;
      }
      std::vector<std::int32_t> fresh;
      owner_.model_->encode(text, fresh);
      ids_.insert(ids_.end(), fresh.begin(), fresh.end());
      seen_.emplace(std::string(text), std::move(fresh));
    }

    const PipelineTokenizer& owner_;
    bool special_;
    std::vector<std::int32_t>& ids_;
    std::vector<std::unique_ptr<Pattern::Search>> searches_;
    StringMap<std::vector<std::int32_t>> seen_;
  };

  std::string joined_bytes(const std::vector<std::int32_t>& ids) const {
    std::string bytes;
    for (const std::int32_t id : ids) {
      const auto at = static_cast<std::size_t>(id);
      const std::string& spelling = settings_.spellings[at];
      const auto plain = added_[at] ? std::nullopt : bytes_of_spelling(spelling);
      bytes += plain ? *plain : spelling;
      const std::string& end = settings_.end_of_word;
      if (end.empty() || added_[at] || bytes.size() < end.size() ||
          bytes.compare(bytes.size() - end.size(), end.size(), end) != 0)
        continue;
      bytes.resize(bytes.size() - end.size());
      bytes += ' ';
    }
    if (!settings_.end_of_word.empty() && !bytes.empty() && bytes.back() == ' ') bytes.pop_back();
    return bytes;
  }
  std::string decoded_texts(const std::vector<std::int32_t>& ids) const {
    std::vector<std::string> texts;
    texts.reserve(ids.size());
    for (const std::int32_t id : ids) {
      const auto found = normalized_texts_.find(id);
      texts.push_back(found == normalized_texts_.end() ? settings_.spellings[static_cast<std::size_t>(id)]
                                                       : found->second);
    }
    return decoded(std::move(texts), settings_.decode);
  }

  TokenizerSettings settings_;
  std::unique_ptr<WordModel> model_;
  AddedTokens raw_tokens_, normalized_tokens_;
  std::vector<bool> added_;  // by id
  // Those that are looked for after normalization are also written as normalization leaves them, as in the library.
  std::unordered_map<std::int32_t, std::string> normalized_texts_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_tokenizer(TokenizerSettings settings) {
  return std::make_unique<PipelineTokenizer>(std::move(settings));
}

}  // namespace stamp
