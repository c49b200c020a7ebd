// Tokenizers from GGUF metadata without a model.
#include "base/error.h"
#include "formats/utf8.h"
#include "support/catch.h"
#include "support/message.h"
#include "tokenizer/bpe.h"
#include "tokenizer/settings.h"

using namespace stamp;
using stamp::test::data_error;
using stamp::test::lacks;
using Ids = std::vector<std::int32_t>;

namespace {

// All single bytes (ids 0..255), "12", "123", "é" composed, and two tokens outside of merging.
TokenizerSource source_with(const std::string& pre) {
  TokenizerSource source;
  source.model = "gpt2";
  source.pre = pre;
  source.present = true;
  for (int b = 0; b < 256; ++b) source.tokens.push_back(spelling_of_bytes(std::string(1, static_cast<char>(b))));
  for (const char* more : {"12", "123", "Ã©", "<s>", "[X]"}) source.tokens.emplace_back(more);
  source.types.assign(source.tokens.size(), 1);
  source.types[259] = 3;
  source.types[260] = 4;
  source.merges = {"1 2", "Ã ©"};
  source.bos = 259;
  return source;
}

std::unique_ptr<Tokenizer> tokenizer_of(TokenizerSource source) {
  return make_tokenizer(settings_from_gguf(std::move(source), "model.gguf"));
}

}  // namespace

TEST_CASE("the pre-tokenizer decides which digits stay together", "[tokenizer]") {
  CHECK(tokenizer_of(source_with("smollm"))->encode("1234", false) == Ids{'1', '2', '3', '4'});
  CHECK(tokenizer_of(source_with("qwen2"))->encode("1234", false) == Ids{'1', '2', '3', '4'});
  CHECK(tokenizer_of(source_with("gpt-2"))->encode("1234", false) == Ids{256, '3', '4'});
  // Llama 3: three at a time, and "123" is taken whole although no merge makes it.
  CHECK(tokenizer_of(source_with("llama-bpe"))->encode("1234", false) == Ids{257, '4'});
  CHECK(tokenizer_of(source_with("llama-bpe"))->kind() == "byte-level BPE (llama-bpe)");
}

TEST_CASE("qwen2 composes characters first", "[tokenizer]") {
  CHECK(tokenizer_of(source_with("qwen2"))->encode("e\u0301", false) == Ids{258});
  CHECK(tokenizer_of(source_with("smollm"))->encode("e\u0301", false) == Ids{'e', 0xCC, 0x81});
}

TEST_CASE("control tokens need `special`, user-defined ones do not", "[tokenizer]") {
  TokenizerSource source = source_with("smollm");
  source.add_bos = true;
  const auto tokenizer = tokenizer_of(source);
  CHECK(tokenizer->prepends_bos());
  CHECK(tokenizer->bos() == 259);
  CHECK(tokenizer->encode("a<s>[X]", true) == Ids{259, 'a', 259, 260});
  CHECK(tokenizer->encode("a<s>[X]", false) == Ids{'a', '<', 's', '>', 260});
  CHECK(tokenizer->encode("", true) == Ids{259});
  CHECK(tokenizer->decode({259, 'a', 260}) == "<s>a[X]");
  CHECK_FALSE(tokenizer_of(source_with("smollm"))->prepends_bos());
}

TEST_CASE("ill-formed UTF-8 becomes U+FFFD", "[tokenizer]") {
  const auto tokenizer = tokenizer_of(source_with("smollm"));
  for (const std::string bad : {"a\xff", "\xc3", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc0\xaf", "\xe2\x82z"}) {
    const std::string decoded = tokenizer->decode(tokenizer->encode(bad, true));
    CHECK(is_utf8(decoded));
    CHECK(decoded == repaired_utf8(bad));
    CHECK(decoded.find("\xef\xbf\xbd") != std::string::npos);
  }
  CHECK(repaired_utf8("\xe2\x82z\xff") == "\ufffdz\ufffd");
  CHECK(repaired_utf8("\xf0\x9f\x98\x80") == "\U0001f600");
}

TEST_CASE("tokenizers that would be guessed are refused", "[tokenizer]") {
  CHECK(lacks(data_error([] { tokenizer_of(source_with("default")); }), "\"default\"") == "");
  CHECK(lacks(data_error([] { tokenizer_of(source_with("")); }), "is missing") == "");
  CHECK(lacks(data_error([] { tokenizer_of(source_with("smolm")); }), "did you mean \"smollm\"") == "");
  TokenizerSource source = source_with("smollm");
  source.model = "bert";
  CHECK(lacks(data_error([&] { tokenizer_of(source); }), "\"bert\"; supported are \"gpt2\"") == "");
  source = source_with("smollm");
  source.merges = {"nospace"};
  CHECK(lacks(data_error([&] { tokenizer_of(source); }), "two parts") == "");
  source.merges.clear();
  CHECK(lacks(data_error([&] { tokenizer_of(source); }), "no tokenizer.ggml.merges") == "");
  source = source_with("smollm");
  source.types.pop_back();
  CHECK(lacks(data_error([&] { tokenizer_of(source); }), "token types") == "");
}
