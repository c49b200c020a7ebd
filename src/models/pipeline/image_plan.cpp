// Which images a trial makes, of what and from which noise.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/files.h"
#include "base/seed.h"
#include "base/sha256.h"
#include "formats/utf8.h"
#include "models/pipeline/image_set.h"

namespace stamp {
namespace {

constexpr std::int64_t steps_an_image = 4;                          // of calibration: one from each quarter of the way
constexpr std::uint64_t largest_prompts = std::uint64_t{64} << 20;  // bytes of a file of prompts

// What images are made of where nobody says otherwise.
const std::vector<std::string>& plain_prompts() {
  static const std::vector<std::string> prompts{
      "a red tractor in a field of stubble under a cloudy sky",
      "a wooden bowl of green apples on a kitchen table, morning light",
      "an old lighthouse on a cliff, waves breaking on the rocks below",
      "a grey cat asleep on a stack of books",
      "a street market at night, lanterns over stalls of fruit",
      "two children flying a kite on a wide beach",
      "a close view of a dandelion with dew on its seeds",
      "a steam locomotive crossing a stone viaduct in autumn",
      "a potter's hands shaping a vase on a wheel",
      "a lone tree on a snowy hill at dusk, watercolour",
      "a glass of lemonade with ice and a slice of lemon",
      "a mountain lake with a red canoe tied to a jetty",
      "an astronaut watering house plants, flat illustration",
      "a bicycle leaning against a blue door",
      "a bowl of noodle soup with an egg and spring onions, seen from above",
      "a barn owl in flight over a moonlit meadow",
  };
  return prompts;
}

std::vector<ImagePrompt> numbered(const std::vector<std::string>& texts) {
  std::vector<ImagePrompt> prompts;
  for (std::size_t i = 0; i < texts.size(); ++i) prompts.push_back({std::to_string(i), texts[i], -1});
  return prompts;
}

// Entry i of a list that starts again when it ends; what comes again has another name, and so another seed.
ImagePrompt cycled(const std::vector<ImagePrompt>& list, std::int64_t i) {
  const auto n = static_cast<std::int64_t>(list.size());
  ImagePrompt prompt = list[static_cast<std::size_t>(i % n)];
  if (i >= n) prompt.name += fmt::format("-{}", i / n);
  return prompt;
}

std::vector<ImagePrompt> known_prompts(const Pipeline& pipeline, const ImageSpec& spec) {
  const DiffusionConfig& config = pipeline.config();
  if (config.has_text()) return spec.prompts == "auto" ? numbered(plain_prompts()) : read_prompts(spec.prompts);
  if (spec.prompts != "auto")
    throw ConfigError(fmt::format(
        "images.prompts: {} is given classes, not prompts; allowed: auto, every class in turn", config.architecture));
  std::vector<ImagePrompt> classes;
  for (std::int64_t c = 0; c < config.classes; ++c) classes.push_back({fmt::format("class {}", c), "", c});
  return classes;
}

SamplingRequest request_of(const ImageSpec& spec) {
  SamplingRequest request;
  request.steps = spec.steps;
  request.guidance = spec.guidance;
  request.height = spec.height;
  request.width = spec.width;
  request.negative_prompt = spec.negative_prompt;
  return request;
}

// What the images depend on beside the denoiser's files.
std::string digest_of(const ImagePlan& plan, const Pipeline& pipeline) {
  const Sampling& s = plan.sampling;
  Json all = {{"pipeline", pipeline.description()},

              {"steps", s.steps},
              {"guidance", s.guidance},
              {"height", s.rendered_height},
              {"width", s.rendered_width},
              {"negative", s.negative_prompt},
              {"prediction", name_of(s.scheduler->prediction())}};
  all["timesteps"] = s.scheduler->timesteps();
  all["sigmas"] = s.scheduler->sigmas();
  for (std::size_t i = 0; i < plan.prompts.size(); ++i)
    all["images"].push_back({plan.prompts[i].name, plan.prompts[i].text, plan.prompts[i].class_id, plan.seeds[i]});
  for (const StepPlace& p : plan.places) all["places"].push_back({p.image, p.step});
  return sha256_hex(all.dump());
}

void describe(ImagePlan& plan, const Pipeline& pipeline, const std::string& prompts) {
  const Sampling& s = plan.sampling;
  const std::int64_t patch = pipeline.config().patch_size;
  const std::string name = prompts == "auto" ? pipeline.config().has_text() ? "plain prompts" : "classes in turn"
                                             : fs::path(prompts).filename().string();
  const std::string digest = digest_of(plan, pipeline);
  plan.description = {{"name", name},
                      {"digest", digest},
                      {"images", plan.prompts.size()},
                      {"inputs", plan.places.size()},
                      {"steps", s.steps},
                      {"scheduler", pipeline.description().value("scheduler", "")},
                      {"guidance", s.guidance},
                      {"height", s.rendered_height},
                      {"width", s.rendered_width},
                      {"tokens", (s.latent_height / patch) * (s.latent_width / patch)},
                      {"samples", s.guided() ? 2 : 1}};
  plan.protocol = fmt::format("{} images of {}, {}x{}, {} steps, guidance {}, sha {}", plan.prompts.size(), name,
                              s.rendered_height, s.rendered_width, s.steps, s.guidance, digest.substr(0, 8));
}

}  // namespace

std::vector<ImagePrompt> read_prompts(const std::string& path) {
  const std::string text = read_file(path, largest_prompts);
  if (!is_utf8(text)) throw DataError(path + ": no UTF-8 text");
  std::vector<ImagePrompt> prompts;
  std::int64_t number = 0;
  for (std::size_t at = 0; at < text.size(); ++number) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    at = end + 1;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty()) continue;
    const std::size_t tab = line.find('\t');
    if (tab == std::string::npos)
      prompts.push_back({std::to_string(number), line, -1});
    else
      prompts.push_back({line.substr(0, tab), line.substr(tab + 1), -1});
  }
  if (prompts.empty()) throw DataError(path + ": no prompts; one a line is wanted");
  return prompts;
}

ImagePlan plan_images(const Pipeline& pipeline, const ImageSpec& spec) {
  ImagePlan plan;
  const std::vector<ImagePrompt> known = known_prompts(pipeline, spec);
  plan.sampling = pipeline.resolve(request_of(spec));
  for (std::int64_t i = 0; i < spec.count; ++i) {
    plan.prompts.push_back(cycled(known, i));
    plan.seeds.push_back(seed_of(plan.prompts.back(), spec.seed));
  }
  for (std::int64_t i = 0; i < std::min(spec.traced, spec.count); ++i)
    for (std::int64_t s = 0; s < plan.sampling.steps; ++s) plan.places.push_back({i, s});
  describe(plan, pipeline, spec.prompts);
  return plan;
}

ImagePlan plan_calibration_images(const Pipeline& pipeline, const ImageSpec& spec, const CalibrationSpec& calibration) {
  ImagePlan plan;
  plan.keeps_results = false;
  const std::vector<ImagePrompt> known = known_prompts(pipeline, spec);
  plan.sampling = pipeline.resolve(request_of(spec));
  const std::int64_t each = std::min(steps_an_image, plan.sampling.steps);
  const auto left = [&] { return calibration.samples - static_cast<std::int64_t>(plan.places.size()); };
  for (std::int64_t i = 0; left() > 0; ++i) {
    ImagePrompt prompt = cycled(known, spec.count + i);
    prompt.name = fmt::format("calibration {}", i);
    plan.seeds.push_back(RandomStream(calibration.seed, "calibration image", static_cast<std::uint64_t>(i)).bits() >>
                         32);
    plan.prompts.push_back(std::move(prompt));
    for (std::int64_t q = 0; q < std::min(each, left() + q); ++q) {
      RandomStream draw(calibration.seed, "calibration step", static_cast<std::uint64_t>(i * each + q));
      const double place = (static_cast<double>(q) + draw.uniform()) / static_cast<double>(each);
      plan.places.push_back({i, static_cast<std::int64_t>(place * static_cast<double>(plan.sampling.steps))});
    }
  }
  describe(plan, pipeline, spec.prompts);
  plan.description["selection"] = fmt::format("{} steps an image, seed {}", each, calibration.seed);
  return plan;
}

}  // namespace stamp
