// Metrics that judge finished images, on the committed image model: two images of three steps.
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/error.h"
#include "config/spec.h"
#include "eval/class_accuracy.h"
#include "eval/clip_score.h"
#include "eval/frechet.h"
#include "models/pipeline/image_set.h"
#include "models/vision/sample_classifier.h"
#include "results/record.h"
#include "support/catch.h"
#include "support/paths.h"

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
  context.protocol = "p";
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
