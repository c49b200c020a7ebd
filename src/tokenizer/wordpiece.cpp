#include "tokenizer/wordpiece.h"

#include <utf8proc.h>

#include <algorithm>

#include "base/error.h"
#include "base/files.h"
#include "base/sha256.h"
#include "base/text.h"
#include "formats/utf8.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/normalize.h"
#include "tokenizer/word_model.h"

namespace stamp {
namespace {

constexpr std::size_t kLongestWord = 100;  // characters

utf8proc_category_t category(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

// Categories C (unassigned ones among them) but for the three that count as white space.
bool is_control(char32_t c) {
  if (c == '\t' || c == '\n' || c == '\r') return false;
  switch (category(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN: return true;
    default: return false;
  }
}

bool is_space(char32_t c) {
  if (c == '\t' || c == '\n' || c == '\r') return true;
  switch (category(c)) {
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP: return true;
    default: return false;
  }
}

// All of ASCII that is neither letter, digit nor space counts, "$" and "^" too, which Unicode calls symbols.
bool is_punctuation(char32_t c) {
  if (c < 0x80) return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126);
  switch (category(c)) {
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO: return true;
    default: return false;
  }
}

// Han only: kana and hangul are written with words.
bool is_ideograph(char32_t c) {
  constexpr char32_t blocks[][2] = {{0x4E00, 0x9FFF},   {0x3400, 0x4DBF},   {0x20000, 0x2A6DF}, {0x2A700, 0x2B73F},
                                    {0x2B740, 0x2B81F}, {0x2B820, 0x2CEAF}, {0xF900, 0xFAFF},   {0x2F800, 0x2FA1F}};
  return std::any_of(std::begin(blocks), std::end(blocks),
                     [c](const char32_t(&block)[2]) { return c >= block[0] && c <= block[1]; });
}

template <typename F>
void for_each_character(std::string_view text, F function) {
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = decode_utf8(text, at);
    function(c.value, text.substr(at, static_cast<std::size_t>(c.bytes)));
    at += static_cast<std::size_t>(c.bytes);
  }
}

// The words of a text, and its punctuation marks and ideographs one by one.
std::vector<std::string> words_of(std::string_view text) {
  std::string clean;
  for_each_character(lower_case(repaired_utf8(text)), [&](char32_t c, std::string_view bytes) {
    if (c == 0 || c == 0xFFFD || is_control(c)) return;
    if (is_ideograph(c)) {
      clean.append(" ").append(bytes).append(" ");
    } else {
      clean += is_space(c) ? std::string_view(" ") : bytes;
    }
  });
  std::vector<std::string> words;
  bool open = false;  // the last word may go on
  for_each_character(decomposed(clean), [&](char32_t c, std::string_view bytes) {
    if (category(c) == UTF8PROC_CATEGORY_MN) return;
    const bool mark = is_punctuation(c);
    if (is_space(c)) {
      open = false;
    } else if (open && !mark) {
      words.back() += bytes;
    } else {
      words.emplace_back(bytes);
      open = !mark;
    }
  });
  return words;
}

struct Vocabulary {
  std::vector<std::string> tokens;  // by id
  StringMap<std::int32_t> ids;
  std::int32_t unknown = 0, first = 0, last = 0;
  std::vector<AddedToken> special;
};

Vocabulary read_vocabulary(const fs::path& path, const std::vector<std::string>& more) {
  const std::string text = read_file(path, 1 << 26);
  if (!is_utf8(text)) throw DataError(path.string() + ": is not UTF-8 text");
  Vocabulary v;
  v.tokens = split(text, '\n');
  if (!v.tokens.empty() && v.tokens.back().empty()) v.tokens.pop_back();  // behind the last line's end
  for (std::size_t i = 0; i < v.tokens.size(); ++i) {
    std::string& token = v.tokens[i];
    if (!token.empty() && token.back() == '\r') token.pop_back();
    const std::string line = path.string() + ": line " + std::to_string(i + 1);
    if (token.empty()) throw DataError(line + " is empty: there is a token in every line");
    const auto [other, fresh] = v.ids.emplace(token, static_cast<std::int32_t>(i));
    if (!fresh)
      throw DataError(line + " holds \"" + token + "\", which is also in line " + std::to_string(other->second + 1));
  }
  const auto required = [&](const char* token) {
    const auto found = v.ids.find(token);
    if (found == v.ids.end())
      throw DataError(path.string() + ": has no token " + token + " among its " + std::to_string(v.tokens.size()) +
                      " lines; is it the vocab.txt of a BERT model?");
    return found->second;
  };
  v.unknown = required("[UNK]"), v.first = required("[CLS]"), v.last = required("[SEP]");
  for (const std::string& token : more)
    if (v.ids.emplace(token, static_cast<std::int32_t>(v.tokens.size())).second) v.tokens.push_back(token);
  std::vector<std::string> special{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  special.insert(special.end(), more.begin(), more.end());
  for (const std::string& name : special) {
    const auto found = v.ids.find(name);
    if (found == v.ids.end()) continue;
    AddedToken token;
    token.text = name;
    token.id = found->second;
    token.special = true;
    v.special.push_back(std::move(token));
  }
  return v;
}

class WordPiece final : public Tokenizer {
 public:
  explicit WordPiece(Vocabulary vocabulary) : vocabulary_(std::move(vocabulary)), special_(vocabulary_.special) {}

  std::vector<std::int32_t> encode(std::string_view text, bool special) const override {
    std::vector<std::int32_t> ids;
    if (special) ids.push_back(vocabulary_.first);
    for (const Cut& cut : special_.cut(text, special)) {
      if (cut.id >= 0) {
        ids.push_back(cut.id);
      } else {
        for (const std::string& word : words_of(cut.text)) spell(word, ids);
      }
    }
    if (special) ids.push_back(vocabulary_.last);
    return ids;
  }
  std::string decode(const std::vector<std::int32_t>& ids) const override {
    std::string text;
    for (const std::int32_t id : ids) {
      if (id < 0 || id >= vocabulary())
        throw DataError(std::string("token id ")
                            .append(std::to_string(id))
                            .append(" is outside the vocabulary of ")
                            .append(std::to_string(vocabulary())));
      const std::string& token = vocabulary_.tokens[static_cast<std::size_t>(id)];
      if (token.size() > 2 && token.starts_with("##")) {
        text.append(token, 2);
      } else {
        text.append(text.empty() ? "" : " ").append(token);
      }
    }
    return text;
  }
  std::int64_t vocabulary() const override { return static_cast<std::int64_t>(vocabulary_.tokens.size()); }
  std::int64_t bos() const override { return vocabulary_.first; }
  bool prepends_bos() const override { return true; }
  std::string kind() const override { return "WordPiece (uncased)"; }
  std::string digest() const override {
    Sha256 hash;
    hash.update("WordPiece 1\n");
    for (const std::string& token : vocabulary_.tokens) hash.update(token), hash.update("\n");
    return hash.hex();
  }

 private:
  void spell(const std::string& word, std::vector<std::int32_t>& ids) const {
    std::vector<std::size_t> ends;  // of characters, in bytes
    for_each_character(word, [&](char32_t, std::string_view bytes) {
      ends.push_back((ends.empty() ? 0 : ends.back()) + bytes.size());
    });
    const std::size_t before = ids.size();
    std::size_t begin = 0;
    std::string entry;
    for (std::size_t done = 0; done < ends.size() && ends.size() <= kLongestWord;) {
      std::size_t count = ends.size() - done;
      for (; count > 0; --count) {
        entry.assign(begin == 0 ? "" : "##").append(word, begin, ends[done + count - 1] - begin);
        const auto found = vocabulary_.ids.find(entry);
        if (found == vocabulary_.ids.end()) continue;
        ids.push_back(found->second);
        break;
      }
      if (count == 0) break;
      done += count;
      begin = ends[done - 1];
    }
    if (begin == word.size()) return;
    ids.resize(before);
    ids.push_back(vocabulary_.unknown);
  }

  Vocabulary vocabulary_;
  AddedTokens special_;
};

}  // namespace

std::unique_ptr<Tokenizer> open_wordpiece(const std::filesystem::path& vocabulary,
                                          const std::vector<std::string>& more) {
  return std::make_unique<WordPiece>(read_vocabulary(vocabulary, more));
}

}  // namespace stamp
