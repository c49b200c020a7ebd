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
#include "eval/image_reward.h"
#include "models/pipeline/image_set.h"
#include "models/text/clip_model.h"
#include "models/text/image_reward_model.h"
#include "models/vision/sample_classifier.h"
#include "results/record.h"
#include "support/catch.h"
#include "support/paths.h"
#include "support/scratch.h"
#include "unit/models/fixtures.h"
#include "unit/models/reward_folder.h"

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
  CHECK(kind_of([&] { evaluator<ImageReward>(made)->begin(*made.images); }) == "unsupported");
}

namespace {

// Two images of a model of text, made up; nothing where the fixtures are not there.
struct Prompted {
  std::shared_ptr<TextPipeline> pipeline;
  std::shared_ptr<const ImageSet> set;
  std::unique_ptr<FinishedImages> images;
  explicit Prompted(const std::vector<std::string>& prompts) {
    const auto fixture = test::open_fixture("pixart_tiny");
    if (!fixture) return;
    pipeline = std::make_shared<TextPipeline>(std::make_shared<DiffusionSource>(fixture, "PixArtTransformer2DModel"));
    ImagePlan plan;
    for (const std::string& prompt : prompts) {
      plan.seeds.push_back(plan.prompts.size());
      plan.prompts.push_back({std::to_string(plan.prompts.size()), prompt, -1});
    }
    Sampling& s = plan.sampling;
    s.height = s.width = s.rendered_height = s.rendered_width = s.latent_height = s.latent_width = 20;
    set = std::make_shared<const ImageSet>(pipeline, plan);
    images = std::make_unique<FinishedImages>(set, true);
  }
  static at::Tensor image(std::int64_t i) {
    at::Tensor made = at::empty({1, 3, 20, 20}, at::kFloat);
    float* values = made.mutable_data_ptr<float>();
    for (std::int64_t v = 0; v < made.numel(); ++v) values[v] = std::sin(static_cast<float>((i + 1) * v) * 0.05F);
    return made;
  }
  ByteImage bytes(std::int64_t i) const { return to_bytes(pipeline->finish(set->plan().sampling, image(i))); }
  std::vector<Metric> judged(Evaluator& e) const {
    e.begin(*images);
    for (std::int64_t i = 0; i < images->count(); ++i) {
      WorkItem item;
      item.index = i;
      Outputs outputs;
      outputs.named["image"] = image(i);
      e.observe(item, outputs);
    }
    return e.finish({});
  }
};

}  // namespace

TEST_CASE("a CLIP score is the angle between the rows of an image and of its own prompt") {
  const Prompted made({"a b", "b"});
  const auto tiny = test::open_fixture("clip_tiny");
  if (!made.images) return;
  const test::Scratch scratch;
  write_clip(scratch.path() / "clip", *tiny);
  TrialSpec spec;
  spec.images.clip = (scratch.path() / "clip").string();
  EvaluatorContext context;
  context.spec = &spec;
  const ClipModel clip(tiny);
  const std::vector<TokenIds> ids{{95, 2, 3, 96}, {95, 3, 96}};
  const std::vector<Metric> metrics = made.judged(*ClipScore::make(context));
  REQUIRE(metrics.size() == 1);
  CHECK(metrics[0].name == "clip_score");
  for (std::size_t i = 0; i < 2; ++i)
    CHECK(metrics[0].items[i] == Approx(clip_score(clip.text_features({ids[i]})[0],
                                                   clip.image_features({made.bytes(static_cast<std::int64_t>(i))})[0]))
                                     .margin(1e-4));

  spec.images.clip = (scratch.path() / "nothing").string();
  CHECK(kind_of([&] { ClipScore::make(context)->begin(*made.images); }) == "missing");
}

TEST_CASE("image_reward judges every image by its own prompt") {
  const std::vector<std::string> prompts{"a small red lighthouse", "horse painting, at night"};
  const Prompted made(prompts);
  const auto tiny = test::open_fixture("image_reward_tiny");
  REQUIRE(tiny);
  if (!made.images) return;
  const test::Scratch scratch;
  const std::string folder = (scratch.path() / "reward").string();
  test::write_image_reward(folder, *tiny);
  TrialSpec spec;
  spec.images.image_reward = folder;
  EvaluatorContext context;
  context.protocol = std::string(1, 'p');
  context.spec = &spec;
  const auto e = ImageReward::make(context);
  const std::vector<Metric> metrics = made.judged(*e);
  REQUIRE(metrics.size() == 1);
  const Metric& m = metrics.front();
  CHECK(m.name == "image_reward");
  CHECK(m.over == "images");
  CHECK_FALSE(m.lower_is_better);
  CHECK(e->judged_with(*made.images) == open_image_reward(folder).digest());
  CHECK(m.protocol == "p, ImageReward " + open_image_reward(folder).digest().substr(0, 8));
  const ImageRewardModel model(open_image_reward(folder));
  REQUIRE(m.items.size() == 2);
  double sum = 0;
  for (std::size_t i = 0; i < 2; ++i) {
    const double own = model.reward(model.ids(prompts[i]), made.bytes(static_cast<std::int64_t>(i))),
                 crossed = model.reward(model.ids(prompts[1 - i]), made.bytes(static_cast<std::int64_t>(i)));
    CHECK(m.items[i] == Approx(own).margin(1e-6));
    CHECK(std::abs(m.items[i] - crossed) > 1e-3);
    sum += own;
  }
  CHECK(m.value == Approx(sum / 2).margin(1e-6));

  fs::remove(fs::path(folder) / "vocab.txt");
  CHECK(kind_of([&] { ImageReward::make(context)->begin(*made.images); }) == "missing");
  CHECK(kind_of([&] { ImageReward::make(context)->judged_with(*made.images); }) == "missing");
  spec.images.image_reward = "auto";
  unsetenv("STAMP_IMAGE_REWARD");
  CHECK(kind_of([&] { ImageReward::make(context)->begin(*made.images); }) == "missing");
}
