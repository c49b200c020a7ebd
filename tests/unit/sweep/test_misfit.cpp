// What is known not to work before a model's weights are read.
#include "sweep/misfit.h"

#include "fixture.h"
#include "support/catch.h"
#include "sweep/plan.h"

using namespace stamp;

namespace {

const Catalog& catalog() {
  static const Catalog made = [] {
    Catalog c = test::invented_catalog();
    PluginInfo image = test::plugin("image_sqnr");
    image.reads = "images";
    c.add(PluginKind::metric, image);
    PluginInfo questions = test::plugin("zero_shot");
    questions.reads = "zero_shot";
    c.add(PluginKind::metric, questions);
    return c;
  }();
  return made;
}

TrialSpec trial(const std::vector<std::string>& metrics) {
  TrialSpec spec;
  spec.model.name = "m";
  spec.data.text = "words";
  spec.data.context = 64;
  spec.data.windows = 2;
  spec.evaluate = metrics;
  return spec;
}

ModelShape decoder() {
  ModelShape shape;
  shape.layers = shape.hidden = 2;
  return shape;
}

bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("metrics of images need a model that makes some, metrics of texts one that reads them") {
  ModelShape maker = decoder();
  maker.tokens = 16;
  CHECK(misfit(trial({"perplexity"}), decoder(), {}, catalog()).empty());
  CHECK(misfit(trial({"image_sqnr"}), maker, {}, catalog()).empty());
  CHECK(misfit(trial({"image_sqnr"}), {}, {}, catalog()).empty());  // nothing is known of the model
  CHECK(holds(misfit(trial({"image_sqnr"}), decoder(), {}, catalog()), "m is a language model, and image_sqnr"));
  CHECK(holds(misfit(trial({"perplexity"}), maker, {}, catalog()), "m makes images, and perplexity"));
  CHECK(holds(misfit(trial({"zero_shot"}), maker, {}, catalog()), "zero_shot is a metric of texts"));
}

TEST_CASE("more windows than the text has bytes for are told, fewer are the tokenizer's to count") {
  CHECK(misfit(trial({"perplexity"}), decoder(), 128, catalog()).empty());
  CHECK(misfit(trial({"perplexity"}), decoder(), 127, catalog()) ==
        "text \"words\" has 127 bytes, no more than 1 windows of 64 tokens (data.windows is 2)");
  TrialSpec all = trial({"perplexity"});
  all.data.windows = 0;
  CHECK(misfit(all, decoder(), 64, catalog()).empty());
  CHECK(holds(misfit(all, decoder(), 63, catalog()), "no more than 0 windows"));
}

TEST_CASE("metrics of texts and of images in one trial are refused before any model is looked at") {
  const Schema schema(catalog());
  CHECK_FALSE(refusal(trial({"perplexity", "zero_shot"}), schema));
  for (const char* text : {"perplexity", "zero_shot"}) {
    const auto no = refusal(trial({text, "image_sqnr"}), schema);
    REQUIRE(no);
    CHECK(no->by == std::string("metrics ").append(text).append(", image_sqnr"));
    CHECK(holds(no->because, "no model does both"));
  }
}
