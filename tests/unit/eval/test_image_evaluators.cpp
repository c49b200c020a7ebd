// Metrics that judge finished images, on the committed image model: two images of three steps.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/error.h"
#include "base/files.h"
#include "config/spec.h"
#include "eval/class_accuracy.h"
#include "eval/clip_score.h"
#include "eval/frechet.h"
#include "models/pipeline/image_set.h"
#include "models/text/clip_model.h"
#include "models/vision/sample_classifier.h"
#include "results/record.h"
#include "support/catch.h"
#include "support/paths.h"
#include "support/scratch.h"
#include "unit/models/fixtures.h"

using namespace stamp;

namespace {

std::string checkpoint_path() {
  return (test::repository() / "results" / "cifar10_dit" / "checkpoint").string();
}

struct Made {
  TrialSpec spec;
  std::unique_ptr<Model> model;
  std::unique_ptr<Network> network;
  std::shared_ptr<Workload> steps;
  std::unique_ptr<Workload> images;
  explicit Made(std::int64_t count = 2) {
    spec.model.path = checkpoint_path();
    spec.model.name = "dit";
    spec.images.count = count;
    spec.images.traced = 1;
    spec.images.steps = 3;
    spec.images.guidance = 1;
    model = open_model(spec.model);
    network = model->build();
    steps = model->images(spec.images);
    auto& made = dynamic_cast<GeneratedWorkload&>(*steps);
    made.generate(*network, false, [](std::int64_t, std::int64_t) {});
    images = made.results(true);
  }
};

template <class Kind>
std::unique_ptr<Evaluator> evaluator(const Made& made, bool full_precision = false) {
  EvaluatorContext context;
  context.protocol = std::string(1, 'p');
  context.spec = &made.spec;
  context.full_precision = full_precision;
  return Kind::make(context);
}

std::vector<Metric> run(Evaluator& e, Made& made, float noise = 0) {
  e.begin(*made.images);
  for (std::int64_t i = 0; i < made.images->count(); ++i) {
    const WorkItem item = made.images->item(i);
    Outputs outputs = made.images->run(*made.network, item);
    // Every other pixel is moved.
    at::Tensor moved = outputs.named.at("image").clone();
    float* values = moved.mutable_data_ptr<float>();
    for (std::int64_t v = 0; v < moved.numel(); v += 2) values[v] += noise;
    outputs.named["image"] = moved;
    e.observe(item, outputs);
  }
  return e.finish({});
}

const Metric* named(const std::vector<Metric>& metrics, const std::string& name) {
  const auto found = std::find_if(metrics.begin(), metrics.end(), [&](const Metric& m) { return m.name == name; });
  return found == metrics.end() ? nullptr : &*found;
}

std::string kind_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const TrialError& error) {
    return error.kind();
  }
  return "(no TrialError)";
}

// Of a model of text, as far as its finished images go.
class TextPipeline : public Pipeline {
 public:
  explicit TextPipeline(std::shared_ptr<const DiffusionSource> source) : Pipeline(std::move(source)) {}
  Json description() const override { return Json::object(); }
  std::int64_t class_named(const std::string&) const override { throw DataError("a model of text"); }
  std::string class_name(std::int64_t) const override { return ""; }
  Sampling resolve(const SamplingRequest&) const override { return {}; }
  std::vector<Condition> conditions(const std::vector<ImagePrompt>&, const Sampling&,
                                    const std::function<void(const std::string&)>&) const override {
    return {};
  }
  at::Tensor guided(const Sampling&, const at::Tensor& output) const override { return output; }
  at::Tensor decode(const at::Tensor& latent) const override { return latent; }
};

// CLIP's layout with the tiny model and a vocabulary of two letters.
void write_clip(const fs::path& folder, const Checkpoint& tiny) {
  fs::create_directories(folder);
  fs::copy_file(test::repository() / "tests" / "golden" / "clip_tiny.safetensors", folder / "model.safetensors");
  test::spill(folder / "config.json", tiny.config().dump());
  test::spill(folder / "vocab.json",
              R"({"a": 0, "b": 1, "a</w>": 2, "b</w>": 3, "<|startoftext|>": 95, "<|endoftext|>": 96})");
  test::spill(folder / "merges.txt", "#version: 0.2\n");
}

}  // namespace

TEST_CASE("class accuracy asks the classifier beside the model for the class that was asked for") {
  Made made;
  const auto e = evaluator<ClassAccuracy>(made, true);
  CHECK(e->has_reference());
  const std::vector<Metric> metrics = run(*e, made);
  REQUIRE(metrics.size() == 1);
  const Metric& m = metrics.front();
  CHECK(m.name == "class_accuracy");
  CHECK_FALSE(m.lower_is_better);
  CHECK(m.protocol.starts_with("p, classifier "));
  REQUIRE(m.items.size() == 2);

  const SampleClassifier classifier(open_checkpoint(classifier_beside(made.spec.model.path)));
  const auto& set = dynamic_cast<const ImageSet&>(*made.steps);
  for (std::int64_t i = 0; i < 2; ++i) {
    const Outputs outputs = made.images->run(*made.network, made.images->item(i));
    const ByteImage bytes = to_bytes(set.pipeline().finish(set.plan().sampling, outputs.named.at("image")));
    CHECK(m.items[static_cast<std::size_t>(i)] == (classifier.ask(bytes).best() == i ? 1 : 0));
  }
}

TEST_CASE("the Frechet distance is nothing for equal images, more for changed ones, and absent of the reference") {
  Made made(3);
  const std::vector<Metric> same = run(*evaluator<Frechet>(made), made),
                            moved = run(*evaluator<Frechet>(made), made, 0.5F),
                            reference = run(*evaluator<Frechet>(made, true), made);
  REQUIRE(named(same, "frechet"));
  REQUIRE(named(moved, "frechet"));
  CHECK(named(moved, "frechet")->value > 0.01);
  CHECK(std::abs(named(same, "frechet")->value) < 1e-4 * named(moved, "frechet")->value);
  CHECK(named(moved, "frechet")->lower_is_better);
  CHECK_FALSE(named(reference, "frechet"));
  // The test set's statistics lie beside the committed classifier.
  REQUIRE(named(reference, "frechet_test"));
  CHECK(named(reference, "frechet_test")->value == Approx(named(same, "frechet_test")->value));
}

TEST_CASE("a judge that is not there or does not fit fails the trial with a reason") {
  Made made;
  made.spec.images.classifier = (test::repository() / "tests").string();
  CHECK(kind_of([&] { evaluator<ClassAccuracy>(made)->begin(*made.images); }) == "missing");
  made.spec.images.classifier = "auto";
  CHECK(kind_of([&] { evaluator<ClassAccuracy>(made)->begin(*made.steps); }) == "unsupported");
  Made one(1);
  CHECK(kind_of([&] { evaluator<Frechet>(one)->begin(*one.images); }) == "unsupported");
  CHECK(kind_of([&] { evaluator<ClipScore>(made)->begin(*made.images); }) == "unsupported");
}

TEST_CASE("a CLIP score is the angle between the rows of an image and of its own prompt") {
  const auto fixture = test::open_fixture("pixart_tiny");
  const auto tiny = test::open_fixture("clip_tiny");
  if (!fixture) return;
  const auto pipeline =
      std::make_shared<TextPipeline>(std::make_shared<DiffusionSource>(fixture, "PixArtTransformer2DModel"));
  ImagePlan plan;
  plan.prompts = {{"0", "a b", -1}, {"1", "b", -1}};
  plan.seeds = {0, 1};
  Sampling& s = plan.sampling;
  s.height = s.width = s.rendered_height = s.rendered_width = s.latent_height = s.latent_width = 20;
  const auto set = std::make_shared<const ImageSet>(pipeline, plan);
  const FinishedImages images(set, true);

  const test::Scratch scratch;
  write_clip(scratch.path() / "clip", *tiny);
  TrialSpec spec;
  spec.images.clip = (scratch.path() / "clip").string();
  EvaluatorContext context;
  context.spec = &spec;
  const auto e = ClipScore::make(context);
  e->begin(images);
  const ClipModel clip(tiny);
  const std::vector<TokenIds> ids{{95, 2, 3, 96}, {95, 3, 96}};
  std::vector<double> expected;
  for (std::int64_t i = 0; i < 2; ++i) {
    at::Tensor image = at::empty({1, 3, 20, 20}, at::kFloat);
    float* values = image.mutable_data_ptr<float>();
    for (std::int64_t v = 0; v < image.numel(); ++v) values[v] = std::sin(static_cast<float>((i + 1) * v) * 0.05F);
    WorkItem item;
    item.index = i;
    Outputs outputs;
    outputs.named["image"] = image;
    e->observe(item, outputs);
    const ByteImage bytes = to_bytes(pipeline->finish(s, image));
    expected.push_back(
        clip_score(clip.text_features({ids[static_cast<std::size_t>(i)]})[0], clip.image_features({bytes})[0]));
  }
  const std::vector<Metric> metrics = e->finish({});
  REQUIRE(metrics.size() == 1);
  CHECK(metrics[0].name == "clip_score");
  for (std::size_t i = 0; i < 2; ++i) CHECK(metrics[0].items[i] == Approx(expected[i]).margin(1e-4));

  spec.images.clip = (scratch.path() / "nothing").string();
  CHECK(kind_of([&] { ClipScore::make(context)->begin(images); }) == "missing");
}
