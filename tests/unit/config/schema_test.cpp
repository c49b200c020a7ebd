#include "config/schema.h"

#include <set>

#include "fixture.h"
#include "support/catch.h"

using namespace stamp;
using namespace stamp::testing;

namespace {

std::string check(const std::string& path, const Json& value) {
  return check_value(*schema().find(path).front(), value);
}

}  // namespace

TEST_CASE("every option of the product's example has a field") {
  for (const char* path : {"model.path",
                           "model.name",
                           "data.text",
                           "data.context",
                           "data.windows",
                           "data.bos",
                           "calibration.text",
                           "calibration.context",
                           "calibration.samples",
                           "calibration.select",
                           "calibration.seed",
                           "quantization.method",
                           "quantization.smoothquant.alpha",
                           "quantization.weights.bits",
                           "quantization.weights.quantizer",
                           "quantization.weights.granularity",
                           "quantization.weights.group_size",
                           "quantization.weights.symmetric",
                           "quantization.weights.clip_search",
                           "quantization.activations.bits",
                           "quantization.activations.granularity",
                           "quantization.activations.group_size",
                           "quantization.activations.symmetric",
                           "quantization.activations.clip",
                           "quantization.kv_cache.bits",
                           "quantization.kv_cache.granularity",
                           "quantization.kv_cache.symmetric",
                           "quantization.kv_cache.clip",
                           "quantization.kv_cache.transformed",
                           "quantization.sequence.transform",
                           "quantization.sequence.skip_first",
                           "quantization.sequence.levels",
                           "quantization.allocation.kind",
                           "quantization.allocation.high_bits",
                           "quantization.allocation.pick",
                           "quantization.weights.damping",
                           "evaluate"}) {
    INFO(path);
    CHECK_FALSE(schema().find(path).empty());
  }
  CHECK(schema().find("quantization.wieghts.bits").empty());
  CHECK(schema().find("quantization.sequence.levels").size() == 2);  // haar's and coarse's
}

TEST_CASE("every field has one line of help, a default that it allows, and reads what it wrote") {
  for (const Field& field : schema().fields()) {
    INFO(field.path << " " << field.owner);
    CHECK_FALSE(field.help.empty());
    CHECK(field.help.find('\n') == std::string::npos);
    if (field.path != "model.path") CHECK(check_value(field, field.fallback) == "");
    TrialSpec trial;
    if (field.owner_kind == PluginKind::method) trial.quantization.method = field.owner;
    if (field.owner_kind == PluginKind::weight_quantizer) trial.quantization.weights.quantizer = field.owner;
    if (field.owner_kind == PluginKind::sequence_transform) trial.quantization.sequence.transform = field.owner;
    if (field.owner_kind == PluginKind::allocator) trial.quantization.allocation.kind = field.owner;
    REQUIRE(field.get(trial).has_value());
    CHECK(*field.get(trial) == field.fallback);
    Json other;
    switch (field.type) {
      case Field::Type::boolean: other = field.automatic ? true : !field.fallback.get<bool>(); break;
      case Field::Type::count: other = "s/16"; break;
      case Field::Type::integer: other = static_cast<std::int64_t>(*field.min) + 1; break;
      case Field::Type::real: other = field.numbers.empty() ? Json(*field.max / 2) : Json(3); break;
      case Field::Type::choice: other = field.choices.back(); break;
      case Field::Type::names: other = Json::array({field.choices.back()}); break;
      default: other = "some/text.raw"; break;
    }
    CHECK(check_value(field, other) == "");
    field.set(trial, other);
    if (field.owner.empty() || field.get(trial)) CHECK(*field.get(trial) == other);
  }
}

TEST_CASE("two fields share a path only when they belong to different plugins of one kind") {
  std::set<std::string> seen;
  for (const Field& field : schema().fields()) CHECK(seen.insert(field.path + " " + field.owner).second);
}

TEST_CASE("types are strict") {
  CHECK(check("quantization.weights.bits", 4) == "");
  CHECK(check("quantization.weights.bits", "4") ==
        "the text \"4\"; an integer from 2 to 8, or 16 (off) (write it without quotes)");
  CHECK(check("quantization.weights.bits", true) == "true; an integer from 2 to 8, or 16 (off)");
  CHECK(check("quantization.weights.bits", 4.5) == "4.5; an integer from 2 to 8, or 16 (off)");
  for (const int bits : {1, 9, 12, 15, 17, 0, -4}) CHECK(check("quantization.activations.bits", bits) != "");
  for (const int bits : {2, 3, 4, 5, 6, 7, 8, 16}) CHECK(check("quantization.kv_cache.bits", bits) == "");
  CHECK(check("data.context", 2048) == "");
  CHECK(check("data.context", 2048.0) == "2048.0; an integer from 2 to 1048576 (write it as 2048)");
  CHECK(check("data.context", 2048.5) == "2048.5; an integer from 2 to 1048576");
  CHECK(check("quantization.weights.bits", 4.0) == "4.0; an integer from 2 to 8, or 16 (off) (write it as 4)");
  CHECK(check("quantization.weights.bits", 4).empty());
  CHECK(check("data.context", "2048") == "the text \"2048\"; an integer from 2 to 1048576 (write it without quotes)");
  CHECK(check("data.context", 1) != "");
  CHECK(check("quantization.activations.clip", 1) == "");
  CHECK(check("quantization.activations.clip", 0.01) == "");
  CHECK(check("quantization.activations.clip", 0) == "0; a number above 0, up to 1");
  CHECK(check("quantization.activations.clip", 1.01) == "1.01; a number above 0, up to 1");
  CHECK(check("quantization.weights.symmetric", 1) == "1; true or false");
  CHECK(check("model.name", 7) == "7; text (put it in quotes)");
  CHECK(check("calibration.seed", -1) != "");
  CHECK(check("quantization.sequence.levels", "auto") == "");
  CHECK(check("quantization.sequence.levels", "atuo").find("did you mean \"auto\"?") != std::string::npos);
  CHECK(check("quantization.smoothquant.alpha", "auto") != "");
}

TEST_CASE("names come from the catalog, with the nearest one") {
  CHECK(check("quantization.method", "smothquant") ==
        "the text \"smothquant\"; one of: rtn, smoothquant, quarot (did you mean \"smoothquant\"?)");
  CHECK(check("quantization.sequence.transform", "harr").find("(did you mean \"haar\"?)") != std::string::npos);
  CHECK(check("quantization.allocation.kind", "twolevel").find("(did you mean \"two_level\"?)") != std::string::npos);
  CHECK(check("data.text", "wikitext2-tset").find("(did you mean \"wikitext2-test\"?)") != std::string::npos);
  CHECK(check("data.text", "texts/mine.txt") == "");
  CHECK(check("evaluate", Json::array({"perplexty"})).find("(did you mean \"perplexity\"?)") != std::string::npos);
  CHECK(check("evaluate", Json::array()).find("an empty list") != std::string::npos);
  CHECK(check("evaluate", Json::array({"perplexity", "perplexity"})).find("twice") != std::string::npos);
  CHECK(check("evaluate", "perplexity").find("a list of different names") != std::string::npos);
}

TEST_CASE("sections and their children feed completion") {
  CHECK(schema().is_section("quantization"));
  CHECK(schema().is_section("quantization.weights"));
  CHECK(schema().is_section("quantization.rtn"));  // a method without options
  CHECK_FALSE(schema().is_section("quantization.weights.bits"));
  CHECK_FALSE(schema().is_section("quant"));
  const std::vector<std::string> top = schema().children("");
  CHECK(top == std::vector<std::string>{"model", "data", "calibration", "quantization", "decode", "zero_shot", "images",
                                        "evaluate"});
  const std::vector<std::string> sequence = schema().children("quantization.sequence");
  CHECK(sequence == std::vector<std::string>{"transform", "skip_first", "levels"});
}

TEST_CASE("a catalog without plugins still knows the defaults") {
  const Catalog none;
  const Schema bare(none);
  CHECK(check_value(*bare.find("quantization.method").front(), "rtn") == "");
  CHECK(check_value(*bare.find("quantization.method").front(), "other") != "");
}
