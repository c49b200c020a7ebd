// Regular expressions over UTF-8 with Unicode classes (PCRE2, compiled to machine code where it can).
#pragma once
#include <memory>
#include <string>
#include <string_view>

namespace stamp {

struct Match {
  std::size_t begin = 0, end = 0;
};

class Pattern {
 public:
  // DataError when the pattern does not compile. \s and \S mean Unicode White_Space, as in the tokenizers' own engines;
  // PCRE2 alone would add U+180E.
  explicit Pattern(const std::string& expression);
  // A pattern that matches exactly `text`.
  static Pattern literal(std::string_view text);
  ~Pattern();
  Pattern(Pattern&&) noexcept;
  Pattern& operator=(Pattern&&) noexcept;

  const std::string& expression() const { return expression_; }

  // One search through a text; cheap to make, one per thread.
  class Search {
   public:
    explicit Search(const Pattern& pattern);
    ~Search();
    Search(const Search&) = delete;
    Search& operator=(const Search&) = delete;
    // The first match at or after `from` (a character boundary) that is not empty. Look-ahead ends at the end of
    // `text`, which must be well-formed UTF-8.
    bool next(std::string_view text, std::size_t from, Match& match);

   private:
    struct Buffers;
    const Pattern& pattern_;
    std::unique_ptr<Buffers> buffers_;
  };

 private:
  struct Code;
  std::string expression_;
  std::unique_ptr<Code> code_;
};

// `\s` and `\S` written out as White_Space, inside and outside of bracketed classes.
std::string with_white_space(const std::string& expression);

}  // namespace stamp
