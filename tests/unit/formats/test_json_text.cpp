#include "formats/json_text.h"

#include "base/error.h"
#include "support/catch.h"
#include "support/message.h"

using namespace stamp;
using stamp::test::data_error;
using stamp::test::lacks;

namespace {

std::string refusal(const std::string& text) {
  return data_error([&] { parse_json(text, "f.json"); });
}

}  // namespace

TEST_CASE("JSON as Python writes it", "[formats]") {
  const Json json =
      parse_json(R"({"a": -Infinity, "b": [NaN, Infinity, -1.5], "c": "NaN \" Infinity", "d": {"e": []}})", "f.json");
  CHECK(json == Json::parse(R"({"a": null, "b": [null, null, -1.5], "c": "NaN \" Infinity", "d": {"e": []}})"));
  CHECK(parse_json("7", "f") == 7);
  CHECK(parse_json(" [] ", "f") == Json::array());
}

TEST_CASE("the parser agrees with the library's own on ordinary texts", "[formats]") {
  for (const char* text : {R"({"z": 1, "a": {"k": [1, 2, {"x": null}]}, "m": true})",
                           R"([[[]], {}, "", "\u00e9\n", 1e300, -0.0, 18446744073709551615])"})
    CHECK(parse_json(text, "f").dump() == Json::parse(text).dump());
}

TEST_CASE("what is wrong with a JSON text is said with its place", "[formats]") {
  CHECK(lacks(refusal("{\"a\": 1,\n\"a\": 2}"), "\"a\" appears twice") == "");
  CHECK(lacks(refusal("{\n  \"a\": }"), "f.json: is not valid JSON at line 2, column 8") == "");
  CHECK(lacks(refusal(""), "line 1, column 1") == "");
  CHECK(lacks(refusal("\"\xff\""), "not valid JSON") == "");
  CHECK(lacks(refusal("{} x"), "line 1, column 4") == "");
  CHECK(lacks(refusal(std::string(50000000, '[')), "deeper than 64 levels") == "");
  CHECK(refusal(std::string(64, '[') + std::string(64, ']')) == "(no DataError)");
}

TEST_CASE("a large object is read in linear time", "[formats]") {
  std::string text = "{";
  for (int i = 0; i < 200000; ++i) text += (i == 0 ? "\"k" : ",\"k") + std::to_string(i) + "\":" + std::to_string(i);
  CHECK(parse_json(text + "}", "f").size() == 200000);  // minutes, were every key compared with all before it
}
