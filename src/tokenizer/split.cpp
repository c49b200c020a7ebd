#include "tokenizer/split.h"

namespace stamp {

void split(std::string_view piece, const SplitStep& step, Pattern::Search& search, std::vector<std::string_view>& out) {
  using Keep = SplitStep::Keep;
  bool after_match = false;  // the part before was a match
  bool joined = false;       // the last part of `out` is a match that waits for what follows it
  const auto put = [&](std::size_t begin, std::size_t end, bool found) {
    if (begin == end) return;
    const std::string_view part = piece.substr(begin, end - begin);
    const bool match = found != step.invert;
    const auto extend = [&] { out.back() = std::string_view(out.back().data(), out.back().size() + part.size()); };
    if (match && step.keep == Keep::removed) {
      // left out
    } else if (match && !after_match && step.keep == Keep::with_previous && begin > 0) {
      extend();  // only one match goes with what is before it; a second one stands alone
    } else if (!match && joined) {
      extend();
    } else {
      out.push_back(part);
    }
    joined = match && step.keep == Keep::with_next;
    after_match = match;
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

}  // namespace stamp
