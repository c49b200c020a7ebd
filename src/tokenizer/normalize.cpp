#include "tokenizer/normalize.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>

#include "base/error.h"
#include "formats/utf8.h"

namespace stamp {

namespace {

std::string in_form(std::string_view text, utf8proc_option_t form) {
  if (std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; }))
    return std::string(text);
  utf8proc_uint8_t* out = nullptr;
  const utf8proc_ssize_t size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()), static_cast<utf8proc_ssize_t>(text.size()),
                   &out, static_cast<utf8proc_option_t>(UTF8PROC_STABLE | form));
  if (size < 0) throw Error(ExitCode::internal, std::string("Unicode normalization: ") + utf8proc_errmsg(size));
  std::string normal(reinterpret_cast<const char*>(out), static_cast<std::size_t>(size));
  std::free(out);
  return normal;
}

}  // namespace

std::string composed(std::string_view text) {
  return in_form(text, UTF8PROC_COMPOSE);
}

std::string decomposed(std::string_view text) {
  return in_form(text, UTF8PROC_DECOMPOSE);
}

std::string lower_case(std::string_view text) {
  constexpr char32_t kDottedCapitalI = 0x130;  // the one character whose lower-case form is two
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = decode_utf8(text, at);
    if (c.value == kDottedCapitalI)
      out += "i\u0307";
    else
      append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c.value))));
    at += static_cast<std::size_t>(c.bytes);
  }
  return out;
}

namespace {

std::string stripped(const std::string& text, bool left, bool right) {
  static const Pattern space(R"(\s+)");
  Pattern::Search search(space);
  std::size_t begin = 0, end = text.size();
  Match match;
  for (std::size_t at = 0; at < text.size() && search.next(text, at, match); at = match.end) {
    if (left && match.begin == 0) begin = match.end;
    if (right && match.end == text.size()) end = match.begin;
  }
  return begin < end ? text.substr(begin, end - begin) : std::string();
}

}  // namespace

std::string replaced(std::string_view text, Pattern::Search& search, std::string_view by) {
  std::string out;
  std::size_t done = 0;
  Match match;
  while (done < text.size() && search.next(text, done, match)) {
    out.append(text, done, match.begin - done).append(by);
    done = match.end;
  }
  return out.append(text, done, std::string_view::npos);
}

std::string replaced(std::string_view text, std::string_view what, std::string_view by) {
  std::string out;
  out.reserve(text.size() + text.size() / 4);
  std::size_t done = 0;
  for (std::size_t at = text.find(what); at != std::string_view::npos; at = text.find(what, done)) {
    out.append(text, done, at - done).append(by);
    done = at + what.size();
  }
  return out.append(text, done, std::string_view::npos);
}

std::string normalized(std::string_view text, const std::vector<NormalizeStep>& steps) {
  std::string out(text);
  for (const NormalizeStep& step : steps) {
    switch (step.kind) {
      case NormalizeStep::Kind::compose: out = composed(out); break;
      case NormalizeStep::Kind::replace: {
        Pattern::Search search(step.pattern.value());
        out = replaced(out, search, step.text);
        break;
      }
      case NormalizeStep::Kind::prepend:
        if (!out.empty()) out.insert(0, step.text);
        break;
      case NormalizeStep::Kind::lower: out = lower_case(out); break;
      case NormalizeStep::Kind::strip:
        out = stripped(out, step.text.find('l') != std::string::npos, step.text.find('r') != std::string::npos);
        break;
      case NormalizeStep::Kind::charsmap: out = replaced_by_cluster(out, *step.table); break;
      case NormalizeStep::Kind::sentencepiece: out = step.sentencepiece->apply(out); break;
    }
  }
  return out;
}

std::string Metaspace::apply(std::string_view text, bool at_start) const {
  std::string out = replaced(text, " ", mark);
  const bool wanted = prepend == Prepend::always || (prepend == Prepend::first && at_start);
  if (wanted && out.compare(0, mark.size(), mark) != 0) out.insert(0, mark);
  return out;
}

}  // namespace stamp
