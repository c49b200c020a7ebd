#include "tokenizer/byte_level.h"

#include <utf8proc.h>

#include <cstdlib>

#include "base/error.h"
#include "base/sha256.h"
#include "formats/utf8.h"

namespace stamp {
namespace {

std::string nfc_of(std::string_view text) {
  utf8proc_uint8_t* out = nullptr;
  const utf8proc_ssize_t size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()), static_cast<utf8proc_ssize_t>(text.size()),
                   &out, static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  if (size < 0) throw Error(ExitCode::internal, std::string("Unicode normalization: ") + utf8proc_errmsg(size));
  std::string normal(reinterpret_cast<const char*>(out), static_cast<std::size_t>(size));
  std::free(out);
  return normal;
}

bool is_ascii(std::string_view text) {
  for (const char c : text)
    if (static_cast<unsigned char>(c) >= 0x80) return false;
  return true;
}

void split(std::string_view piece, const SplitStep& step, Pattern::Search& search, std::vector<std::string_view>& out) {
  const auto put = [&](std::size_t begin, std::size_t end, bool matched) {
    if (begin == end) return;
    const std::string_view part = piece.substr(begin, end - begin);
    if (matched != step.invert && step.keep == SplitStep::Keep::removed) return;
    if (matched != step.invert && step.keep == SplitStep::Keep::with_previous && begin > 0 && !out.empty() &&
        out.back().data() + out.back().size() == part.data()) {
      out.back() = std::string_view(out.back().data(), out.back().size() + part.size());
      return;
    }
    out.push_back(part);
  };
  std::size_t done = 0;
  Match match;
  while (done < piece.size() && search.next(piece, done, match)) {
    put(done, match.begin, false);
    put(match.begin, match.end, true);
    done = match.end;
  }
  put(done, piece.size(), false);
}

std::vector<std::optional<std::string>> pieces_of(const ByteLevelSettings& settings) {
  std::vector<std::optional<std::string>> pieces;
  pieces.reserve(settings.spellings.size());
  for (const std::string& spelling : settings.spellings)
    pieces.push_back(spelling.empty() ? std::nullopt : bytes_of_spelling(spelling));
  return pieces;
}

std::vector<std::pair<std::string, std::string>> merges_of(const ByteLevelSettings& settings) {
  std::vector<std::pair<std::string, std::string>> merges;
  merges.reserve(settings.merges.size());
  for (const auto& [left, right] : settings.merges) {
    auto l = bytes_of_spelling(left), r = bytes_of_spelling(right);
    if (!l || !r || l->empty() || r->empty())
      throw DataError("the merge \"" + repaired_utf8(left) + " " + repaired_utf8(right) +
                      "\" is not made of byte characters");
    merges.emplace_back(std::move(*l), std::move(*r));
  }
  return merges;
}

std::vector<AddedToken> added_where(const std::vector<AddedToken>& all, bool normalized) {
  std::vector<AddedToken> some;
  for (const AddedToken& token : all)
    if (token.normalized == normalized) some.push_back(token);
  return some;
}

class ByteLevelTokenizer : public Tokenizer {
 public:
  explicit ByteLevelTokenizer(ByteLevelSettings settings)
      : settings_(std::move(settings)),
        pieces_(pieces_of(settings_)),
        bpe_(pieces_, merges_of(settings_), settings_.whole_words),
        raw_tokens_(added_where(settings_.added, false)),
        normalized_tokens_(added_where(settings_.added, true)) {
    for (const AddedToken& token : settings_.added) pieces_.at(static_cast<std::size_t>(token.id)) = token.text;
  }

  std::vector<std::int32_t> encode(std::string_view text, bool special) const override {
    std::string repaired;
    if (!is_utf8(text)) {
      repaired = repaired_utf8(text);
      text = repaired;
    }
    std::vector<std::int32_t> ids;
    if (special) ids = settings_.before;
    Worker worker(*this, ids);
    for (const Cut& cut : raw_tokens_.cut(text, special)) {
      if (cut.id >= 0) {
        ids.push_back(cut.id);
      } else if (settings_.nfc && !is_ascii(cut.text)) {
        worker.piece(nfc_of(cut.text), special);
      } else {
        worker.piece(cut.text, special);
      }
    }
    if (special) ids.insert(ids.end(), settings_.after.begin(), settings_.after.end());
    return ids;
  }

  std::string decode(const std::vector<std::int32_t>& ids) const override {
    std::string bytes;
    for (const std::int32_t id : ids) {
      if (id < 0 || static_cast<std::size_t>(id) >= pieces_.size())
        throw DataError("token id " + std::to_string(id) + " is outside the vocabulary of " +
                        std::to_string(pieces_.size()));
      const auto at = static_cast<std::size_t>(id);
      bytes += pieces_[at] ? *pieces_[at] : settings_.spellings[at];
    }
    return repaired_utf8(bytes);
  }

  std::int64_t vocabulary() const override { return static_cast<std::int64_t>(settings_.spellings.size()); }
  std::int64_t bos() const override { return settings_.bos; }
  bool prepends_bos() const override { return !settings_.before.empty() && settings_.before.front() == settings_.bos; }
  std::string kind() const override { return "byte-level BPE (" + settings_.family + ")"; }
  std::string digest() const override;

 private:
  // Splits and merges one text; remembers the words it has seen, which most words of a long text are.
  class Worker {
   public:
    Worker(const ByteLevelTokenizer& owner, std::vector<std::int32_t>& ids) : owner_(owner), ids_(ids) {
      for (const SplitStep& step : owner.settings_.steps)
        searches_.push_back(std::make_unique<Pattern::Search>(step.pattern));
    }
    void piece(std::string_view text, bool special) {
      for (const Cut& cut : owner_.normalized_tokens_.cut(text, special)) {
        if (cut.id >= 0) {
          ids_.push_back(cut.id);
        } else {
          words(cut.text, 0);
        }
      }
    }

   private:
    void words(std::string_view text, std::size_t step) {
      if (step == searches_.size()) return word(text);
      std::vector<std::string_view> parts;
      split(text, owner_.settings_.steps[step], *searches_[step], parts);
      for (const std::string_view part : parts) words(part, step + 1);
    }
    void word(std::string_view text) {
      constexpr std::size_t kLongest = 64;  // longer words hardly come twice
      if (text.size() > kLongest) return owner_.bpe_.encode(text, ids_);
      if (const auto found = seen_.find(text); found != seen_.end()) {
        ids_.insert(ids_.end(), found->second.begin(), found->second.end());
        return;
      }
      std::vector<std::int32_t> fresh;
      owner_.bpe_.encode(text, fresh);
      ids_.insert(ids_.end(), fresh.begin(), fresh.end());
      seen_.emplace(std::string(text), std::move(fresh));
    }

    const ByteLevelTokenizer& owner_;
    std::vector<std::int32_t>& ids_;
    std::vector<std::unique_ptr<Pattern::Search>> searches_;
    StringMap<std::vector<std::int32_t>> seen_;
  };

  ByteLevelSettings settings_;
  std::vector<std::optional<std::string>> pieces_;  // bytes by id, for decoding
  Bpe bpe_;
  AddedTokens raw_tokens_, normalized_tokens_;
};

std::string ByteLevelTokenizer::digest() const {
  Sha256 hash;
  // Lengths before texts, so that no two settings run together into one.
  const auto put = [&](std::string_view text) { hash.update(std::to_string(text.size()) + ':'), hash.update(text); };
  put("byte-level BPE 1");
  for (const std::string& spelling : settings_.spellings) put(spelling);
  put("merges");
  for (const auto& [left, right] : settings_.merges) put(left), put(right);
  const auto put_number = [&](std::int64_t value) { put(std::to_string(value)); };
  put("added");
  for (const AddedToken& t : settings_.added) {
    put(t.text);
    put_number(t.id);
    for (const bool flag : {t.special, t.normalized, t.single_word, t.strip_left, t.strip_right}) put_number(flag);
  }
  put("steps");
  for (const SplitStep& step : settings_.steps) {
    put(step.pattern.expression());
    put_number(static_cast<int>(step.keep));
    put_number(step.invert);
  }
  put_number(settings_.nfc);
  put_number(settings_.whole_words);
  put("before");
  for (const std::int32_t id : settings_.before) put_number(id);
  put("after");
  for (const std::int32_t id : settings_.after) put_number(id);
  return hash.hex();
}

}  // namespace

std::unique_ptr<Tokenizer> byte_level_tokenizer(ByteLevelSettings settings) {
  return std::make_unique<ByteLevelTokenizer>(std::move(settings));
}

}  // namespace stamp
