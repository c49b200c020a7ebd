// tokenizer.json pipelines against ids of Hugging Face's tokenizers library (scripts/reference/tokenizer_json.py).
#include "base/error.h"
#include "formats/json_text.h"
#include "support/catch.h"
#include "support/message.h"
#include "support/paths.h"
#include "support/scratch.h"
#include "tokenizer/settings.h"

using namespace stamp;
using stamp::test::data_error;
using stamp::test::lacks;

namespace {

std::unique_ptr<Tokenizer> tokenizer_from(const Json& json) {
  return make_tokenizer(settings_from_json(json, TokenizerSource(), "tokenizer.json"));
}

// The smallest pipeline that is accepted; tests break one part of it.
Json smallest() {
  return Json::parse(
      R"({"added_tokens": [], "normalizer": null, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
    "post_processor": null, "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "Ġ": 3}, "merges": ["a b"]}})");
}

std::string refusal(const std::function<void(Json&)>& change) {
  Json json = smallest();
  change(json);
  return data_error([&] { tokenizer_from(json); });
}

}  // namespace

TEST_CASE("tokenizer.json pipelines give the library's ids", "[tokenizer]") {
  const auto path = stamp::test::repository() / "tests" / "golden" / "tokenizer_json.json";
  const Json golden = parse_json(stamp::test::slurp(path), path.string());
  const Json& texts = golden.at("texts");
  CHECK(golden.at("pipelines").size() == 7);
  for (const Json& pipeline : golden.at("pipelines")) {
    const auto tokenizer = tokenizer_from(pipeline.at("tokenizer"));
    INFO(pipeline.at("name"));
    int wrong = 0;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const std::string text = texts[i];
      for (const bool special : {true, false}) {
        const auto expected = pipeline.at(special ? "special" : "plain")[i].get<std::vector<std::int32_t>>();
        if (tokenizer->encode(text, special) != expected && ++wrong <= 8)
          UNSCOPED_INFO((special ? "special " : "plain ")
                        << texts[i] << ": ours " << Json(tokenizer->encode(text, special)) << ", theirs "
                        << Json(expected));
      }
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("the smallest pipeline", "[tokenizer]") {
  const auto tokenizer = tokenizer_from(smallest());
  CHECK(tokenizer->encode("ab ab", true) == std::vector<std::int32_t>{2, 3, 2});
  CHECK(tokenizer->decode({2, 3, 2}) == "ab ab");
  CHECK(tokenizer->kind() == "byte-level BPE (tokenizer.json)");
  CHECK(tokenizer->bos() == -1);
  Json other = smallest();
  other["model"]["merges"] = Json::array();
  CHECK(tokenizer_from(other)->digest() != tokenizer->digest());
  CHECK(tokenizer_from(smallest())->digest() == tokenizer->digest());
}

TEST_CASE("parts of a pipeline that are not supported are refused by name", "[tokenizer]") {
  CHECK(lacks(refusal([](Json& j) { j["model"]["type"] = "Unigram"; }), "\"Unigram\"") == "");
  CHECK(lacks(refusal([](Json& j) { j["model"]["byte_fallback"] = true; }), "byte_fallback") == "");
  CHECK(lacks(refusal([](Json& j) { j["normalizer"] = {{"type", "Lowercase"}}; }), "\"Lowercase\"") == "");
  CHECK(lacks(refusal([](Json& j) { j["pre_tokenizer"] = {{"type", "Whitespace"}}; }), "\"Whitespace\"") == "");
  CHECK(lacks(refusal([](Json& j) { j["pre_tokenizer"]["add_prefix_space"] = true; }), "add_prefix_space") == "");
  CHECK(lacks(refusal([](Json& j) {
                j["post_processor"] = {{"type", "RobertaProcessing"}};
              }),
              "RobertaProcessing") == "");
  CHECK(lacks(refusal([](Json& j) { j["model"]["merges"] = {"a b c"}; }), "$.model.merges[0]") == "");
  CHECK(lacks(refusal([](Json& j) { j["model"]["merges"] = 5; }), "must be a list") == "");
  CHECK(lacks(refusal([](Json& j) { j["model"]["vocab"]["b"] = 0; }), "the id 0 to both") == "");
  CHECK(lacks(refusal([](Json& j) { j["model"]["vocab"]["b"] = 4000000000; }), "out of all proportion") == "");
  CHECK(lacks(refusal([](Json& j) { j["model"]["vocab"]["b"] = -1; }), "out of all proportion") == "");
  CHECK(lacks(refusal([](Json& j) { j.erase("model"); }), "must be an object") == "");
  CHECK(lacks(refusal([](Json& j) {
                j["pre_tokenizer"] = {{"type", "Split"}, {"pattern", {{"Regex", "(("}}}, {"behavior", "Isolated"}};
              }),
              "is not understood") == "");
}
