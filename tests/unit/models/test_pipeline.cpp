// Pipelines against diffusers' own on tiny models (tests/golden/pipelines, written by scripts/reference/pipelines.py),
// and what they refuse.
#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <c10/core/InferenceMode.h>

#include <cmath>
#include <cstdlib>
#include <limits>

#include "formats/json_text.h"
#include "models/diffusion/diffusion_network.h"
#include "models/pipeline/pipeline.h"
#include "support/message.h"
#include "support/scratch.h"
#include "unit/models/fixtures.h"

using namespace stamp;
using stamp::test::data_error;
using stamp::test::lacks;
namespace fs = std::filesystem;

namespace {

fs::path golden(const std::string& name) {
  return fs::path(STAMP_SOURCE_DIR) / "tests" / "golden" / "pipelines" / name;
}

// SANA's instruction is no part of this repository; the stored images of it were made without.
const int no_instruction = ::setenv("STAMP_SANA_INSTRUCTION", "none", 1);

struct Stored {
  std::unique_ptr<Pipeline> pipeline;
  Json request;
  std::vector<float> image;
  SamplingRequest wanted;
  ImagePrompt prompt;
  std::uint64_t seed = 0;
};

Stored open_stored(const std::string& name) {
  Stored out;
  out.pipeline = open_pipeline(golden(name).string());
  const auto expected = open_checkpoint((golden(name) / "expected.safetensors").string());
  out.request = expected->config().at("request");
  out.image = test::floats_of(*expected, "out.image");
  const Json& r = out.request;
  if (r.contains("steps")) out.wanted.steps = r.at("steps").get<std::int64_t>();
  if (r.contains("guidance")) out.wanted.guidance = r.at("guidance").get<double>();
  if (r.contains("height")) out.wanted.height = r.at("height").get<std::int64_t>();
  if (r.contains("width")) out.wanted.width = r.at("width").get<std::int64_t>();
  out.wanted.negative_prompt = r.value("negative", "");
  out.seed = r.at("seed").get<std::uint64_t>();
  if (r.contains("prompts"))
    out.prompt.text = r.at("prompts").at(0).get<std::string>();
  else
    out.prompt.class_id = out.pipeline->class_named(r.at("classes").at(0).get<std::string>());
  return out;
}

Image made(const Stored& s, const SamplingRequest& wanted) {
  const Sampling sampling = s.pipeline->resolve(wanted);
  const std::vector<Condition> conditions = s.pipeline->conditions({s.prompt}, sampling, {});
  const auto network = make_diffusion_network(s.pipeline->source());
  const at::Tensor latent = s.pipeline->sample(
      sampling, conditions.at(0), s.pipeline->noise(sampling, s.seed),
      [&](std::size_t, const WorkItem& item) { return network->run(item).named.at("noise"); }, {}, s.seed);
  return s.pipeline->finish(sampling, s.pipeline->decode(latent));
}

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  double top = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double d = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    if (!(d <= top)) top = d;
  }
  return top;
}

// A stored pipeline that a test may break.
class Copy {
 public:
  explicit Copy(const std::string& name) { fs::copy(golden(name), path(), fs::copy_options::recursive); }
  fs::path path() const { return scratch_.path() / "pipeline"; }
  std::string text() const { return path().string(); }
  void edit(const std::string& file, const std::string& key, const Json& value) const {
    Json json = parse_json(test::slurp(path() / file), file);
    json[key] = value;
    test::spill(path() / file, json.dump());
  }
  std::string error() const {
    return data_error([&] { open_pipeline(text()); });
  }

 private:
  test::Scratch scratch_;
};

// The message of the ConfigError that `action` throws: what was asked for is wrong, not the files.
template <typename F>
std::string usage_error(F&& action) {
  try {
    action();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "(no ConfigError)";
}

constexpr const char* stored[] = {"dit", "pixels", "pixart", "sana", "sprint"};

}  // namespace

TEST_CASE("a pipeline makes the image that diffusers makes from the same noise, within 1e-3") {
  const c10::InferenceMode no_gradients;
  REQUIRE(no_instruction == 0);
  for (const char* name : stored) {
    const Stored s = open_stored(name);
    const Image image = made(s, s.wanted);
    CAPTURE(name, image.height, image.width);
    CHECK(largest_difference(image.values, s.image) < 1e-3);
  }
}

TEST_CASE("guidance, steps, seed and negative prompt all change the image") {
  const c10::InferenceMode no_gradients;
  const Stored s = open_stored("pixart");
  const Image image = made(s, s.wanted);
  SamplingRequest other = s.wanted;
  SECTION("guidance") {
    other.guidance = 6;
  }
  SECTION("no guidance") {
    other.guidance = 1;
  }
  SECTION("steps") {
    other.steps = 3;
  }
  SECTION("negative prompt") {
    other.negative_prompt = "";
  }
  CHECK(largest_difference(made(s, other).values, image.values) > 1e-2);
}

TEST_CASE("the seed of an image is the hash of its name, and its noise is that of torch's generator") {
  CHECK(seed_of({"", "", -1}, 7) == 7);
  CHECK(seed_of({"a", "", -1}, 0) == 97);
  CHECK(seed_of({"ab", "", -1}, 3) == 31 * 97 + 98 + 3);
  CHECK(seed_of({"é", "", -1}, 0) == 0xE9);  // a character, not its two bytes
  CHECK(seed_of({"0123456789abcdef", "", -1}, 0) < 1000000007);
  const Stored s = open_stored("pixels");
  const Sampling sampling = s.pipeline->resolve({});
  // torch.manual_seed(0); torch.randn(16)
  const at::Tensor noise = s.pipeline->noise(sampling, 0);
  CHECK(noise.const_data_ptr<float>()[0] == Approx(-1.1258).margin(1e-4));
  CHECK(s.pipeline->noise(sampling, 0).equal(noise));
  CHECK_FALSE(s.pipeline->noise(sampling, 1).equal(noise));
}

TEST_CASE("a request without wishes gets the pipeline's defaults") {
  const auto dit = open_stored("dit").pipeline->resolve({});
  CHECK(dit.steps == 50);
  CHECK(dit.guidance == 4);
  CHECK(dit.height == 16);  // sample_size 8, two pixels to a latent pixel
  CHECK(dit.latent_width == 8);
  const auto pixart = open_stored("pixart").pipeline->resolve({});
  CHECK(pixart.steps == 20);
  CHECK(pixart.guidance == 4.5);
  CHECK(pixart.guided());
  const auto sprint = open_stored("sprint").pipeline->resolve({});
  CHECK(sprint.steps == 2);
  CHECK_FALSE(sprint.guided());
  CHECK(sprint.embedded_guidance == 4.5);
  SamplingRequest plain;
  plain.guidance = 1;
  CHECK_FALSE(open_stored("sana").pipeline->resolve(plain).guided());
}

TEST_CASE("two samples of guidance: the unconditional one is last in DiT and first elsewhere") {
  const c10::InferenceMode no_gradients;
  for (const char* name : {"dit", "pixart", "sana"}) {
    const Stored s = open_stored(name);
    const Sampling sampling = s.pipeline->resolve(s.wanted);
    const Condition condition = s.pipeline->conditions({s.prompt}, sampling, {}).at(0);
    const at::Tensor noise = s.pipeline->noise(sampling, 0);
    const WorkItem item = s.pipeline->item(sampling, condition, noise, 0);
    CHECK(item.inputs.at("latent").equal(at::cat({noise, noise})));
    CHECK(item.segments.size() == 2);
    CHECK(item.segments[1].width == sampling.latent_width / s.pipeline->config().patch_size);
    const std::int64_t channels = s.pipeline->config().out_channels;
    const at::Tensor first = at::full({1, channels, 2, 2}, 3.0F), second = at::full({1, channels, 2, 2}, 5.0F);
    const at::Tensor guided = s.pipeline->guided(sampling, at::cat({first, second}));
    CHECK(guided.size(0) == 1);
    CHECK(guided.size(1) == s.pipeline->config().in_channels);
    const bool dit = std::string(name) == "dit";
    const double expected = dit ? 5 + sampling.guidance * (3 - 5) : 3 + sampling.guidance * (5 - 3);
    CHECK(guided.const_data_ptr<float>()[0] == Approx(expected));
    if (dit) CHECK(condition.at("class").const_data_ptr<std::int64_t>()[1] == s.pipeline->config().classes);
  }
}

TEST_CASE("an autoencoder that does not fit the table of image sizes is refused with the scale that does") {
  Copy copy("pixart");
  copy.edit("transformer/config.json", "sample_size", 32);
  const std::string message = copy.error();
  CHECK(lacks(message, "2 pixels of a latent pixel") == "");
  CHECK(lacks(message, "need 8") == "");
  CHECK(lacks(message, "sample_size 32") == "");
}

TEST_CASE("finish() resizes before it cuts values off") {
  const Stored s = open_stored("pixels");
  Sampling sampling = s.pipeline->resolve({});
  sampling.rendered_height = 1, sampling.rendered_width = 2;
  sampling.height = 1, sampling.width = 1;
  // Covering 1 x 1 from 1 x 2 needs no resizing; the middle is cut out.
  at::Tensor decoded = at::zeros({1, 3, 1, 2});
  decoded.data_ptr<float>()[0] = 5;
  const Image image = s.pipeline->finish(sampling, decoded);
  CHECK(image.height == 1);
  CHECK(image.width == 1);
  CHECK(image.values[0] == 1);
  CHECK(image.values[1] == 0.5F);
  CHECK_THROWS_AS(s.pipeline->finish(sampling, at::zeros({1, 3, 2, 2})), std::logic_error);
}

TEST_CASE("a transformer folder, or a weight file in it, finds the other parts beside it") {
  const std::string direct = golden("dit").string();
  for (const char* part : {"transformer", "transformer/", "transformer/diffusion_pytorch_model.safetensors"}) {
    const auto pipeline = open_pipeline(direct + "/" + part);
    CHECK(pipeline->resolve({}).height == 16);
  }
}

TEST_CASE("a class is a number or a name of model_index.json") {
  const auto dit = open_stored("dit").pipeline;
  CHECK(dit->class_named("207") == 207);
  CHECK(dit->class_named("thing 203") == 203);
  CHECK(dit->class_named("thing number 203") == 203);
  CHECK(dit->class_name(203) == "thing 203, thing number 203");
  CHECK(dit->class_name(5).empty());
  CHECK(lacks(usage_error([&] { dit->class_named("1000"); }), "the classes 0 to 999") == "");
  CHECK(lacks(usage_error([&] { dit->class_named("thing 2O3"); }), "did you mean") == "");
  CHECK(lacks(usage_error([&] { open_stored("pixels").pipeline->class_named("cat"); }), "no names") == "");
  CHECK(lacks(usage_error([&] { open_stored("sana").pipeline->class_named("3"); }), "reads texts") == "");
  const Sampling sampling = dit->resolve({});
  CHECK(lacks(usage_error([&] { dit->conditions({{"", "a cat", -1}}, sampling, {}); }), "reads classes") == "");
  const auto pixart = open_stored("pixart").pipeline;
  CHECK(lacks(usage_error([&] { pixart->conditions({{"", "", 3}}, pixart->resolve({}), {}); }), "reads texts") == "");
}

TEST_CASE("a part that is missing is named with what belongs there") {
  const struct {
    const char *pipeline, *remove, *message;
  } cases[] = {
      {"dit", "vae", "vae: the folder is missing; the autoencoder of DiTTransformer2DModel with 4 channels"},
      {"dit", "vae/config.json", "config.json: the file is missing; it belongs to the autoencoder"},
      {"dit", "scheduler", "scheduler: the folder is missing"},
      {"dit", "scheduler/scheduler_config.json", "scheduler_config.json: the file is missing"},
      {"dit", "transformer/config.json", "has no config.json; the pipeline's denoiser belongs there"},
      {"dit", "transformer/diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.safetensors"},
      {"pixart", "text_encoder", "text_encoder: the folder is missing; the T5 encoder"},
      {"pixart", "tokenizer", "tokenizer: the folder is missing; the tokenizer of the T5 encoder"},
      {"sana", "text_encoder/config.json", "the file is missing; it belongs to the Gemma encoder"},
  };
  for (const auto& c : cases) {
    const Copy copy(c.pipeline);
    fs::remove_all(copy.path() / c.remove);
    CAPTURE(c.remove);
    CHECK(lacks(copy.error(), c.message) == "");
  }
  CHECK(lacks(data_error([] { open_pipeline("no/such/folder"); }), "no such file or folder") == "");
}

TEST_CASE("parts that do not fit each other are refused at once") {
  SECTION("an autoencoder that the index leaves out") {
    const Copy copy("dit");
    copy.edit("model_index.json", "vae", {nullptr, nullptr});
    CHECK(lacks(copy.error(), "vae is null, but the autoencoder") == "");
  }
  SECTION("another number of latent channels") {
    const Copy copy("dit");
    fs::remove_all(copy.path() / "vae");
    fs::copy(golden("sana") / "vae", copy.path() / "vae", fs::copy_options::recursive);
    CHECK(lacks(copy.error(), "6 latent channels, the denoiser DiTTransformer2DModel reads 4") == "");
  }
  SECTION("a pipeline of another family") {
    const Copy copy("dit");
    copy.edit("model_index.json", "_class_name", "SanaPipeline");
    CHECK(lacks(copy.error(), "does not go with the denoiser DiTTransformer2DModel; allowed: DiTPipeline") == "");
  }
  SECTION("a pipeline that is not supported") {
    const Copy copy("sana");
    copy.edit("model_index.json", "_class_name", "SanaPipline");
    CHECK(lacks(copy.error(), "did you mean \"SanaPipeline\"") == "");
  }
  SECTION("Sprint without its scheduler") {
    const Copy copy("sprint");
    fs::copy(golden("sana") / "scheduler/scheduler_config.json", copy.path() / "scheduler/scheduler_config.json",
             fs::copy_options::overwrite_existing);
    CHECK(lacks(copy.error(), "with guidance_embeds it needs SCMScheduler") == "");
  }
  SECTION("a text encoder of another kind") {
    const Copy copy("pixart");
    copy.edit("text_encoder/config.json", "model_type", "gemma2");
    const auto pipeline = open_pipeline(copy.text());
    CHECK(lacks(data_error([&] { pipeline->conditions({{"", "a", -1}}, pipeline->resolve({}), {}); }), "t5") == "");
  }
}

TEST_CASE("requests that a pipeline cannot follow are refused") {
  const auto pixart = open_stored("pixart").pipeline, dit = open_stored("dit").pipeline;
  const auto error = [](const Pipeline& pipeline, const SamplingRequest& request) {
    return usage_error([&] { pipeline.resolve(request); });
  };
  SamplingRequest r;
  r.height = 18, r.width = 24;
  CHECK(lacks(error(*pixart, r), "18 x 24 pixels: height and width have to be multiples of 4") == "");
  r.height = 32;
  CHECK(lacks(error(*dit, r), "squares only") == "");
  r.height = 0;
  CHECK(lacks(error(*pixart, r), "sides from 1 to 16384") == "");
  r = {};
  r.steps = 2000;
  CHECK(lacks(error(*pixart, r), "scheduler_config.json") == "");
  r.steps = 0;
  CHECK(lacks(error(*dit, r), "scheduler_config.json") == "");
  r = {};
  r.guidance = std::numeric_limits<double>::quiet_NaN();
  CHECK(lacks(error(*dit, r), "guidance") == "");
  r = {};
  r.negative_prompt = "fog";
  CHECK(lacks(error(*dit, r), "reads classes, not texts") == "");
  CHECK(lacks(error(*open_stored("sprint").pipeline, r), "guidance_embeds") == "");
}

TEST_CASE("a prompt that is too long is cut, with a warning that names it") {
  const c10::InferenceMode no_gradients;
  for (const char* name : {"pixart", "sana"}) {
    const auto pipeline = open_stored(name).pipeline;
    std::string text;
    for (int i = 0; i < 200; ++i) text += "a shining castle ";
    std::vector<std::string> warnings;
    const Sampling sampling = pipeline->resolve({});
    const auto conditions = pipeline->conditions({{"", text, -1}, {"", "a castle", -1}}, sampling,
                                                 [&](const std::string& w) { warnings.push_back(w); });
    REQUIRE(warnings.size() == 1);
    CHECK(lacks(warnings[0], "the prompt \"a shining castle a shining castle a shi") == "");
    CHECK(lacks(warnings[0], "cut") == "");
    CHECK(conditions[0].at("text").size(1) == 300);
    CHECK(conditions[1].at("text").size(1) < 20);
  }
}

TEST_CASE("a negative prompt without guidance is warned of") {
  const auto pipeline = open_stored("pixart").pipeline;
  SamplingRequest request;
  request.guidance = 1;
  request.negative_prompt = "fog";
  std::vector<std::string> warnings;
  pipeline->conditions({{"", "a castle", -1}}, pipeline->resolve(request),
                       [&](const std::string& w) { warnings.push_back(w); });
  REQUIRE(warnings.size() == 1);
  CHECK(lacks(warnings[0], "no effect") == "");
}

TEST_CASE("NaN on the way ends a sampling with the step at which it came") {
  const Stored s = open_stored("pixels");
  const Sampling sampling = s.pipeline->resolve(s.wanted);
  const Condition condition = s.pipeline->conditions({s.prompt}, sampling, {}).at(0);
  const auto denoise = [&](std::size_t step, const WorkItem& item) {
    at::Tensor out = at::zeros(item.inputs.at("latent").sizes());
    if (step == 2) out.data_ptr<float>()[5] = std::numeric_limits<float>::quiet_NaN();
    return out;
  };
  std::size_t seen = 0;
  try {
    s.pipeline->sample(sampling, condition, s.pipeline->noise(sampling, 1), denoise,
                       [&](std::size_t step, const at::Tensor&) { seen = step; });
    FAIL("no error");
  } catch (const TrialError& error) {
    CHECK(error.kind() == "non_finite");
    CHECK(lacks(error.what(), "denoising step 3 of 6") == "");
  }
  CHECK(seen == 1);
  at::Tensor noise = s.pipeline->noise(sampling, 1);
  noise.data_ptr<float>()[0] = std::numeric_limits<float>::infinity();
  const auto network = make_diffusion_network(s.pipeline->source());
  CHECK_THROWS_AS(
      s.pipeline->sample(sampling, condition, noise,
                         [&](std::size_t, const WorkItem& item) { return network->run(item).named.at("noise"); }),
      TrialError);
}

TEST_CASE("who keeps a work item keeps its latent") {
  const Stored s = open_stored("pixels");
  SamplingRequest request = s.wanted;
  request.guidance = 1;
  const Sampling sampling = s.pipeline->resolve(request);
  const Condition condition = s.pipeline->conditions({s.prompt}, sampling, {}).at(0);
  std::vector<at::Tensor> seen, copies;
  s.pipeline->sample(sampling, condition, s.pipeline->noise(sampling, 1), [&](std::size_t, const WorkItem& item) {
    seen.push_back(item.inputs.at("latent"));
    copies.push_back(seen.back().clone());
    return seen.back().mul(0.1);
  });
  REQUIRE(seen.size() == 6);
  for (std::size_t i = 0; i < seen.size(); ++i) CHECK(seen[i].equal(copies[i]));
}
