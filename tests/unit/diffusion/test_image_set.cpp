// A trial's images as work items: denoising steps as the full-precision model met them, and finished images.
#include "models/pipeline/image_set.h"

#include <algorithm>
#include <fstream>

#include "base/error.h"
#include "schedulers/scheduler.h"
#include "support/scratch.h"
#include "unit/diffusion/diffusion_fixture.h"

using namespace stamp;

namespace {

// The tiny DiT of the fixtures with five steps of DDIM and without autoencoder: channels 0 to 2 are the image.
class FakePipeline : public Pipeline {
 public:
  explicit FakePipeline(std::shared_ptr<const DiffusionSource> source) : Pipeline(std::move(source)) {}
  Sampling resolve(const SamplingRequest& request) const override {
    Sampling s;
    s.steps = request.steps.value_or(5);
    s.guidance = request.guidance.value_or(3);
    s.height = s.width = s.rendered_height = s.rendered_width = config().sample_size;
    s.latent_height = s.latent_width = config().sample_size;
    s.scheduler = make_scheduler({{"_class_name", "DDIMScheduler"}, {"clip_sample", false}}, s.steps);
    return s;
  }
  std::vector<Condition> conditions(const std::vector<ImagePrompt>& prompts, const Sampling& sampling,
                                    const std::function<void(const std::string&)>&) const override {
    std::vector<Condition> all;
    for (const ImagePrompt& p : prompts) {
      std::vector<std::int64_t> ids{p.class_id};
      if (sampling.guided()) ids.push_back(config().classes);
      all.push_back({{"class", test::integers({static_cast<std::int64_t>(ids.size())}, ids)}});
    }
    return all;
  }
  at::Tensor guided(const Sampling& sampling, const at::Tensor& output) const override {
    const at::Tensor mine = output.slice(1, 0, config().in_channels);
    if (!sampling.guided()) return mine.contiguous();
    const at::Tensor cond = mine.slice(0, 0, 1), null = mine.slice(0, 1, 2);
    return null.add(cond.sub(null), sampling.guidance).contiguous();
  }
  Json description() const override { return {{"scheduler", "DDIMScheduler"}}; }
  std::int64_t class_named(const std::string&) const override { return 0; }
  std::string class_name(std::int64_t) const override { return ""; }
  at::Tensor decode(const at::Tensor& latent) const override { return latent.slice(1, 0, 3).contiguous(); }
};

std::shared_ptr<const FakePipeline> pipeline() {
  const auto source = test::open_diffusion("dit_tiny");
  return source ? std::make_shared<FakePipeline>(source) : nullptr;
}

ImageSpec three_images() {
  ImageSpec spec;
  spec.count = 3;
  spec.traced = 2;
  return spec;
}

bool same(const at::Tensor& a, const at::Tensor& b) {
  return a.sizes() == b.sizes() &&
         std::equal(a.const_data_ptr<float>(), a.const_data_ptr<float>() + a.numel(), b.const_data_ptr<float>());
}

const auto no_progress = [](std::int64_t, std::int64_t) {};

std::shared_ptr<ImageSet> made(const std::shared_ptr<const FakePipeline>& p, const ImageSpec& spec, bool streamed) {
  auto set = std::make_shared<ImageSet>(p, plan_images(*p, spec));
  const auto network = make_diffusion_network(p->source(), !streamed);
  set->generate(*network, streamed, no_progress);
  return set;
}

}  // namespace

TEST_CASE("an item run again gives what the full-precision model gave, and steps follow one another") {
  const auto p = pipeline();
  if (!p) return;
  const auto set = made(p, three_images(), false);
  REQUIRE(set->count() == 10);  // five steps of two images
  const auto network = make_diffusion_network(p->source());
  for (std::int64_t i = 0; i < set->count(); ++i) {
    const WorkItem item = set->item(i);
    CHECK(item.index == i);
    CHECK(item.inputs.at("latent").size(0) == 2);
    CHECK(same(network->run(item).named.at("noise").contiguous(), set->output(i).contiguous()));
  }
  CHECK(same(set->item(0).inputs.at("latent").slice(0, 0, 1), set->noise(0)));
  CHECK(same(set->item(7).inputs.at("latent").slice(0, 0, 1), set->way(1)[1]));
  CHECK(set->way(0).size() == 5);
  CHECK(set->way(2).size() == 1);  // not traced: the end alone
}

TEST_CASE("a finished image of the same network is its reference to the bit, and the reference needs no network") {
  const auto p = pipeline();
  if (!p) return;
  const auto set = made(p, three_images(), false);
  const auto network = make_diffusion_network(p->source());
  for (const bool reference : {false, true}) {
    const auto images = set->results(reference);
    REQUIRE(images->count() == 3);
    CHECK_FALSE(images->single_run());
    for (std::int64_t i = 0; i < images->count(); ++i) {
      const Outputs out = images->run(*network, images->item(i));
      CHECK(same(out.named.at("latent"), out.named.at("latent_fp")));
      CHECK(same(out.named.at("image"), out.named.at("image_fp")));
      CHECK(out.named.at("way").sizes() == out.named.at("way_fp").sizes());
    }
  }
  CHECK_FALSE(same(set->way(0).back(), set->way(1).back()));
}

TEST_CASE("blocks that come and go make the same images, bit for bit") {
  const auto p = pipeline();
  if (!p) return;
  const auto whole = made(p, three_images(), false), streamed = made(p, three_images(), true);
  for (std::int64_t i = 0; i < 3; ++i) CHECK(same(whole->way(i).back(), streamed->way(i).back()));
}

TEST_CASE("what was made survives as bytes, and other bytes are refused") {
  const auto p = pipeline();
  if (!p) return;
  const auto set = made(p, three_images(), false);
  const std::string state = set->state();
  const auto again = std::make_shared<ImageSet>(p, plan_images(*p, three_images()));
  CHECK_FALSE(again->generated());
  CHECK_FALSE(again->restore(""));
  CHECK_FALSE(again->restore(state.substr(0, state.size() / 2)));
  CHECK_FALSE(again->restore(state + "x"));
  ImageSpec fewer = three_images();
  fewer.count = 2;
  CHECK_FALSE(std::make_shared<ImageSet>(p, plan_images(*p, fewer))->restore(state));
  REQUIRE(again->restore(state));
  for (std::int64_t i = 0; i < set->count(); ++i) {
    CHECK(same(set->output(i).contiguous(), again->output(i).contiguous()));
    CHECK(same(set->item(i).inputs.at("latent"), again->item(i).inputs.at("latent")));
  }
  CHECK(again->state() == state);
}

TEST_CASE("classes come in turn, every image has noise of its own, and a seed moves all of them") {
  const auto p = pipeline();
  if (!p) return;
  ImageSpec spec;
  spec.count = 2 * p->config().classes + 1;
  const ImagePlan plan = plan_images(*p, spec);
  for (std::size_t i = 0; i < plan.prompts.size(); ++i)
    CHECK(plan.prompts[i].class_id == static_cast<std::int64_t>(i) % p->config().classes);
  std::vector<std::uint64_t> seeds = plan.seeds;
  std::sort(seeds.begin(), seeds.end());
  CHECK(std::adjacent_find(seeds.begin(), seeds.end()) == seeds.end());
  spec.seed = 7;
  CHECK(plan_images(*p, spec).seeds[0] == plan.seeds[0] + 7);
  CHECK(plan_images(*p, spec).description["digest"] != plan.description["digest"]);
}

TEST_CASE("calibration steps come one from each quarter of images of their own, and fewer are the first of more") {
  const auto p = pipeline();
  if (!p) return;
  ImageSpec spec = three_images();
  spec.steps = 20;
  CalibrationSpec calibration;
  calibration.samples = 7;
  const ImagePlan some = plan_calibration_images(*p, spec, calibration);
  REQUIRE(some.places.size() == 7);
  REQUIRE(some.prompts.size() == 2);
  for (std::size_t i = 0; i < some.places.size(); ++i) {
    CHECK(some.places[i].image == static_cast<std::int64_t>(i / 4));
    CHECK(some.places[i].step / 5 == static_cast<std::int64_t>(i % 4));
  }
  calibration.samples = 12;
  const ImagePlan more = plan_calibration_images(*p, spec, calibration);
  for (std::size_t i = 0; i < some.places.size(); ++i) CHECK(more.places[i].step == some.places[i].step);
  const ImagePlan trial = plan_images(*p, spec);
  for (const std::uint64_t seed : some.seeds)
    CHECK(std::find(trial.seeds.begin(), trial.seeds.end(), seed) == trial.seeds.end());
  const auto set = std::make_shared<ImageSet>(p, some);
  const auto network = make_diffusion_network(p->source());
  set->generate(*network, false, no_progress);
  CHECK(set->count() == 7);
  CHECK(set->results(false) == nullptr);
  CHECK(same(set->item(0).inputs.at("latent"), set->item(0).inputs.at("latent")));
}

TEST_CASE("a file of prompts has one a line, with or without a name") {
  const test::Scratch folder;
  const auto path = (folder.path() / "prompts.txt").string();
  std::ofstream(path) << "a red door\r\n\nchapel\ta small chapel\tat dusk\n";
  const std::vector<ImagePrompt> prompts = read_prompts(path);
  REQUIRE(prompts.size() == 2);
  CHECK(prompts[0].name == "0");
  CHECK(prompts[0].text == "a red door");
  CHECK(prompts[1].name == "chapel");
  CHECK(prompts[1].text == "a small chapel\tat dusk");
  std::ofstream(path, std::ios::trunc) << "\n\n";
  CHECK_THROWS_AS(read_prompts(path), DataError);
  std::ofstream(path, std::ios::trunc) << "caf\xe9\n";
  CHECK_THROWS_AS(read_prompts(path), DataError);
}
