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

TEST_CASE("tokenizer.json pipelines give the library's ids and texts", "[tokenizer]") {
  const auto path = stamp::test::repository() / "tests" / "golden" / "tokenizer_json.json";
  const Json golden = parse_json(stamp::test::slurp(path), path.string());
  const Json& texts = golden.at("texts");
  CHECK(golden.at("pipelines").size() == 22);
  for (const Json& pipeline : golden.at("pipelines")) {
    const auto tokenizer = tokenizer_from(pipeline.at("tokenizer"));
    INFO(pipeline.at("name"));
    int wrong = 0;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const std::string text = texts[i];
      for (const bool special : {true, false}) {
        const Json& same = pipeline.at("special")[i];  // unless "plain" says otherwise
        const Json expected = special ? same : pipeline.at("plain").value(std::to_string(i), same);
        const Json ours = tokenizer->encode(text, special);
        if (ours != expected && ++wrong <= 8)
          UNSCOPED_INFO((special ? "special " : "plain ") << texts[i] << ": ours " << ours << ", theirs " << expected);
      }
    }
    for (const Json& entry : pipeline.value("decoded", Json::array())) {
      const Json ours = tokenizer->decode(entry.at("ids").get<std::vector<std::int32_t>>());
      if (ours != entry.at("text") && ++wrong <= 8)
        UNSCOPED_INFO("decoding " << entry.at("ids") << ": ours " << ours << ", theirs " << entry.at("text"));
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
  CHECK(lacks(data_error([&] { tokenizer->encode("aéb", true); }), "byte 0xC3 of U+00E9 \"é\"") == "");
  Json other = smallest();
  other["model"]["merges"] = Json::array();
  CHECK(tokenizer_from(other)->digest() != tokenizer->digest());
  CHECK(tokenizer_from(smallest())->digest() == tokenizer->digest());
}

TEST_CASE("parts of a pipeline that are not supported are refused by name", "[tokenizer]") {
  CHECK(lacks(refusal([](Json& j) { j["model"]["type"] = "WordPiece"; }), "\"WordPiece\"") == "");
  CHECK(lacks(refusal([](Json& j) { j["model"]["type"] = "Unigram"; }), "does not go with") == "");
  CHECK(lacks(refusal([](Json& j) { j["model"]["byte_fallback"] = true; }), "byte_fallback") == "");
  CHECK(lacks(refusal([](Json& j) { j["normalizer"] = {{"type", "StripAccents"}}; }), "\"StripAccents\"") == "");
  CHECK(lacks(refusal([](Json& j) { j["pre_tokenizer"] = {{"type", "Whitespace"}}; }), "\"Whitespace\"") == "");
  CHECK(lacks(refusal([](Json& j) { j["pre_tokenizer"]["add_prefix_space"] = true; }), "add_prefix_space") == "");
  CHECK(lacks(refusal([](Json& j) { j["post_processor"] = {{"type", "BertProcessing"}}; }), "BertProcessing") == "");
  CHECK(lacks(refusal([](Json& j) {
                j["post_processor"] = {{"type", "RobertaProcessing"}, {"cls", {"a", 9}}, {"sep", {"a", 0}}};
              }),
              "outside the vocabulary") == "");
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
  CHECK(lacks(refusal([](Json& j) { j["model"]["merges"] = {"a c"}; }),
              "$.model.merges[0] is \"a\" and \"c\", but \"c\" is not in the vocabulary") == "");
  CHECK(lacks(refusal([](Json& j) { j["model"]["merges"] = {"b a"}; }), "\"ba\" is not in the vocabulary") == "");
  CHECK(lacks(refusal([](Json& j) {
                j["model"]["merges"] = Json::array({Json::array({"", "a"})});
              }),
              "has an empty part") == "");
  CHECK(lacks(refusal([](Json& j) { j["model"]["unk_token"] = "<unk>"; }), "$.model.unk_token is \"<unk>\"") == "");
  CHECK(lacks(refusal([](Json& j) { j["model"]["continuing_subword_prefix"] = "##"; }), "is not supported") == "");
  CHECK(lacks(refusal([](Json& j) {
                j["normalizer"] = {{"type", "Precompiled"}, {"precompiled_charsmap", "A?"}};
              }),
              "is not base64") == "");
  CHECK(lacks(refusal([](Json& j) {
                j["normalizer"] = {{"type", "Precompiled"}, {"precompiled_charsmap", "/////w=="}};
              }),
              "table of replacements") == "");
}

namespace {

// The smallest pipeline over characters: no ByteLevel, a merge, two byte tokens.
Json smallest_of_characters() {
  return Json::parse(
      R"({"added_tokens": [], "normalizer": null, "pre_tokenizer": null, "decoder": {"type": "ByteFallback"}, "post_processor": null,
    "model": {"type": "BPE", "byte_fallback": true, "vocab": {"a": 0, "b": 1, "ab": 2, "<0xD0>": 3, "<0xBF>": 4}, "merges": ["a b"]}})");
}

}  // namespace

TEST_CASE("characters without an entry: bytes, the unknown token, or an error that names the byte", "[tokenizer]") {
  using Ids = std::vector<std::int32_t>;
  Json json = smallest_of_characters();
  auto tokenizer = tokenizer_from(json);
  CHECK(tokenizer->kind() == "character BPE (tokenizer.json, byte fallback)");
  CHECK(tokenizer->encode("abпa", true) == Ids{2, 3, 4, 0});
  CHECK(tokenizer->decode({2, 3, 4, 0}) == "abпa");
  CHECK(lacks(data_error([&] { tokenizer->encode("ab漢", true); }), "no token for byte 0xE6 of U+6F22 \"漢\"") == "");
  CHECK(lacks(data_error([&] { tokenizer->encode("\n", true); }), "byte 0x0A of U+000A,") == "");
  json["model"]["vocab"]["?"] = 5;
  json["model"]["unk_token"] = "?";
  // In the order of the text. The library writes the bytes before an unknown token that stands before them.
  CHECK(tokenizer_from(json)->encode("漢漢пab漢a", true) == Ids{5, 5, 3, 4, 2, 5, 0});
  json["model"]["fuse_unk"] = true;
  CHECK(tokenizer_from(json)->encode("漢漢п漢", true) == Ids{5, 3, 4, 5});
  json["model"]["byte_fallback"] = false;
  CHECK(tokenizer_from(json)->encode("п漢a", true) == Ids{5, 0});
  CHECK(tokenizer_from(json)->digest() != tokenizer->digest());
}

TEST_CASE("an added token that is not in the vocabulary never comes out of merging", "[tokenizer]") {
  using Ids = std::vector<std::int32_t>;
  for (Json json : {smallest(), smallest_of_characters()}) {
    json["model"]["ignore_merges"] = true;
    json["added_tokens"] = {{{"id", 9}, {"content", "aa"}, {"special", true}, {"normalized", false}}};
    const auto tokenizer = tokenizer_from(json);
    CHECK(tokenizer->encode("aa", true) == Ids{9});
    CHECK(tokenizer->encode("aa", false) == Ids{0, 0});
    CHECK(tokenizer->encode("ab", false) == Ids{2});
  }
}

TEST_CASE("of equal merges the last counts, as in the library", "[tokenizer]") {
  Json json = smallest_of_characters();
  json["model"]["vocab"] = {{"a", 0}, {"b", 1}, {"c", 2}, {"ab", 3}, {"bc", 4}};
  json["model"]["merges"] = {"a b", "b c", "a b"};
  CHECK(tokenizer_from(json)->encode("abc", false) == std::vector<std::int32_t>{0, 4});
}

TEST_CASE("files from before prepend_scheme", "[tokenizer]") {
  Json json = smallest_of_characters();
  json["model"]["vocab"]["\u2581"] = 5;
  json["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "\u2581"}, {"add_prefix_space", true}};
  CHECK(tokenizer_from(json)->encode("a b", false) == std::vector<std::int32_t>{5, 0, 5, 1});
  json["pre_tokenizer"]["add_prefix_space"] = false;
  CHECK(tokenizer_from(json)->encode("a b", false) == std::vector<std::int32_t>{0, 5, 1});
}

TEST_CASE("steps of character pipelines that are damaged or not supported are refused", "[tokenizer]") {
  const auto refused = [](const char* part, const char* with) {
    Json json = smallest_of_characters();
    json[part] = Json::parse(with);
    return data_error([&] { tokenizer_from(json); });
  };
  CHECK(lacks(refused("normalizer", R"({"type": "Nmt"})"), "Prepend, Replace") == "");
  CHECK(lacks(refused("normalizer", R"({"type": "Replace", "pattern": {"String": ""}, "content": "x"})"), "is empty") ==
        "");
  CHECK(lacks(refused("normalizer", R"({"type": "Prepend"})"), "$.normalizer.prepend must be text") == "");
  CHECK(lacks(refused("decoder", R"({"type": "WordPiece"})"), "\"WordPiece\"; supported decoders") == "");
  CHECK(lacks(refused("decoder", R"({"type": "Strip", "content": " ", "start": -1, "stop": 0})"), "0 to 1000") == "");
  CHECK(lacks(refused("decoder", R"({"type": "Strip", "content": "", "start": 1, "stop": 0})"), "one character") == "");
  CHECK(lacks(refused("pre_tokenizer", R"({"type": "Metaspace", "replacement": "__"})"), "one character") == "");
  CHECK(lacks(refused("pre_tokenizer", R"({"type": "Metaspace", "prepend_scheme": "last"})"), "always, first, never") ==
        "");
  CHECK(lacks(refused("pre_tokenizer",
                      R"({"type": "Sequence", "pretokenizers": [{"type": "Metaspace"}, {"type": "Metaspace"}]})"),
              "is a second \"Metaspace\"") == "");
  Json suffix = smallest_of_characters();
  suffix["model"]["end_of_word_suffix"] = "</w>";
  CHECK(lacks(data_error([&] { tokenizer_from(suffix); }), "without the pre-tokenizer ByteLevel") == "");
  CHECK(lacks(refused("pre_tokenizer", R"({"type": "ByteLevel", "add_prefix_space": false})"),
              "$.model.byte_fallback is true") == "");
}
