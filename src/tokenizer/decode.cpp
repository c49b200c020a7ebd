#include "tokenizer/decode.h"

#include "base/text.h"
#include "formats/utf8.h"
#include "tokenizer/normalize.h"
#include "tokenizer/word_model.h"

namespace stamp {
namespace {

constexpr const char* kReplacement = "\ufffd";

std::string text_of_bytes(const std::string& bytes, DecodeStep::IllFormed ill_formed) {
  std::string text;
  if (ill_formed == DecodeStep::IllFormed::whole_run && !is_utf8(bytes)) {
    for (std::size_t i = 0; i < bytes.size(); ++i) text += kReplacement;
    return text;
  }
  for (std::size_t at = 0; at < bytes.size();) {
    const CodePoint c = decode_utf8(bytes, at);
    if (c.valid) append_utf8(text, c.value);
    if (!c.valid) text += kReplacement;
    at += c.valid ? static_cast<std::size_t>(c.bytes) : 1;
  }
  return text;
}

std::vector<std::string> with_bytes_joined(const std::vector<std::string>& tokens, DecodeStep::IllFormed ill_formed) {
  std::vector<std::string> out;
  std::string run;
  const auto finish_run = [&] {
    if (!run.empty()) out.push_back(text_of_bytes(run, ill_formed));
    run.clear();
  };
  for (const std::string& token : tokens) {
    if (const int byte = byte_of_spelling(token); byte >= 0) {
      run += static_cast<char>(byte);
      continue;
    }
    finish_run();
    out.push_back(token);
  }
  finish_run();
  return out;
}

std::string stripped(const std::string& token, const DecodeStep& step) {
  const std::string& mark = step.text;
  std::size_t begin = 0, end = token.size();
  for (int i = 0; i < step.left && token.compare(begin, mark.size(), mark) == 0; ++i) begin += mark.size();
  for (int i = 0; i < step.right && end >= begin + mark.size(); ++i) {
    if (token.compare(end - mark.size(), mark.size(), mark) != 0) break;
    end -= mark.size();
  }
  return token.substr(begin, end - begin);
}

}  // namespace

std::string decoded(std::vector<std::string> tokens, const std::vector<DecodeStep>& steps) {
  for (const DecodeStep& step : steps) {
    switch (step.kind) {
      case DecodeStep::Kind::replace: {
        Pattern::Search search(step.pattern.value());
        for (std::string& token : tokens) token = replaced(token, search, step.text);
        break;
      }
      case DecodeStep::Kind::bytes: tokens = with_bytes_joined(tokens, step.ill_formed); break;
      case DecodeStep::Kind::fuse: tokens = {join(tokens, "")}; break;
      case DecodeStep::Kind::spaces: tokens = {join(tokens, " ")}; break;
      case DecodeStep::Kind::strip:
        for (std::string& token : tokens) token = stripped(token, step);
        break;
      case DecodeStep::Kind::metaspace:
        for (std::size_t i = 0; i < tokens.size(); ++i)
          tokens[i] = replaced(tokens[i], step.text, i == 0 && step.prefixed ? "" : " ");
        break;
    }
  }
  return join(tokens, "");
}

}  // namespace stamp
