#include "tokenizer/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>

#include "base/error.h"

namespace stamp {
namespace {

// Unicode White_Space, the body of a class.
constexpr const char* kWhiteSpace =
    R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
constexpr std::size_t kJitStack = std::size_t{8} << 20;  // grows on demand from 32 KiB

std::string message_of(int code) {
  std::array<unsigned char, 200> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

}  // namespace

std::string with_white_space(const std::string& expression) {
  std::string out;
  bool in_class = false;
  for (std::size_t i = 0; i < expression.size(); ++i) {
    const char c = expression[i];
    if (c != '\\') {
      if (c == '[') in_class = true;
      if (c == ']') in_class = false;
      out += c;
      continue;
    }
    const char escaped = i + 1 < expression.size() ? expression[i + 1] : '\0';
    if (escaped == 's') {
      out += in_class ? kWhiteSpace : std::string("[") + kWhiteSpace + "]";
    } else if (escaped == 'S' && !in_class) {
      out += std::string("[^") + kWhiteSpace + "]";
    } else {
      out.append(expression, i, 2);
    }
    ++i;
  }
  return out;
}

struct Pattern::Code {
  pcre2_code* code = nullptr;
  ~Code() { pcre2_code_free(code); }
};

Pattern::Pattern(const std::string& expression) : expression_(expression), code_(std::make_unique<Code>()) {
  const std::string full = with_white_space(expression);
  int error = 0;
  PCRE2_SIZE offset = 0;
  code_->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(full.data()), full.size(), PCRE2_UTF | PCRE2_UCP, &error,
                              &offset, nullptr);
  if (code_->code == nullptr)
    throw DataError("the tokenizer's pattern \"" + expression + "\" is not understood: " + message_of(error));
  pcre2_jit_compile(code_->code, PCRE2_JIT_COMPLETE);  // without it matching is slower, not different
}

Pattern Pattern::literal(std::string_view text) {
  std::string expression;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x80 && std::isalnum(static_cast<unsigned char>(c)) == 0) expression += '\\';
    expression += c;
  }
  return Pattern(expression);
}

Pattern::~Pattern() = default;
Pattern::Pattern(Pattern&&) noexcept = default;
Pattern& Pattern::operator=(Pattern&&) noexcept = default;

struct Pattern::Search::Buffers {
  pcre2_match_data* data = nullptr;
  pcre2_match_context* context = nullptr;
  pcre2_jit_stack* stack = nullptr;
  ~Buffers() {
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
    pcre2_jit_stack_free(stack);
  }
};

Pattern::Search::Search(const Pattern& pattern) : pattern_(pattern), buffers_(std::make_unique<Buffers>()) {
  buffers_->data = pcre2_match_data_create_from_pattern(pattern.code_->code, nullptr);
  buffers_->context = pcre2_match_context_create(nullptr);
  buffers_->stack = pcre2_jit_stack_create(std::size_t{32} << 10, kJitStack, nullptr);
  if (buffers_->data == nullptr || buffers_->context == nullptr) throw std::bad_alloc();
  if (buffers_->stack != nullptr) pcre2_jit_stack_assign(buffers_->context, nullptr, buffers_->stack);
}

Pattern::Search::~Search() = default;

bool Pattern::Search::next(std::string_view text, std::size_t from, Match& match) {
  const int found = pcre2_match(pattern_.code_->code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                                PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, buffers_->data, buffers_->context);
  if (found == PCRE2_ERROR_NOMATCH) return false;
  if (found < 0)
    throw DataError("the tokenizer's pattern \"" + pattern_.expression_ +
                    "\" fails on this text: " + message_of(found));
  const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(buffers_->data);
  match = {ends[0], ends[1]};
  return true;
}

}  // namespace stamp
