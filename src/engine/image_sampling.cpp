#include "engine/image_sampling.h"

#include <ATen/core/Tensor.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <optional>

#include "base/error.h"
#include "base/memory.h"

namespace stamp {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::vector<ImagePrompt> prompts_of(const Pipeline& pipeline, const ImageSamplingRequest& request) {
  std::vector<ImagePrompt> kinds;
  for (const std::string& text : request.prompts) kinds.push_back({"", text, -1});
  for (const std::string& name : request.classes) kinds.push_back({"", "", pipeline.class_named(name)});
  std::vector<ImagePrompt> all;
  for (ImagePrompt& kind : kinds)
    for (std::int64_t i = 0; i < request.count; ++i) {
      kind.name = fmt::format("{:04}", all.size());
      all.push_back(kind);
    }
  return all;
}

std::string label_of(const Pipeline& pipeline, const ImagePrompt& prompt) {
  if (prompt.class_id < 0) return prompt.text;
  const std::string name = pipeline.class_name(prompt.class_id);
  return std::to_string(prompt.class_id) + (name.empty() ? "" : " " + name);
}

void check(const TrialSpec& spec, const ImageSamplingRequest& request) {
  if (request.prompts.empty() == request.classes.empty())
    throw ConfigError("what shall the images show: give prompts for a model of texts, or classes for one of classes");
  const QuantizationSpec& q = spec.quantization;
  if (request.streamed && (q.weights.bits < 16 || q.activations.bits < 16 || q.method != "rtn"))
    throw ConfigError(
        "a streamed denoiser runs in full precision: its blocks come unchanged from the file in every step; leave the "
        "streaming or the quantization out");
}

// The full-precision network with one block's weights in memory at a time.
at::Tensor run_streamed(Network& network, const WorkItem& item) {
  at::Tensor rows = network.enter(item);
  for (std::size_t block = 0; block < network.blocks(); ++block) {
    network.load(block);
    network.forward(block, rows, item);
    network.release(block);
    give_back_free_memory();
  }
  return network.leave(std::move(rows), item).named.at("noise");
}

}  // namespace

ImageSamplingReport sample_images(Session& session, TrialSpec spec, const ImageSamplingRequest& request,
                                  const std::function<void(const SampledImage&)>& give, Monitor& monitor) {
  const c10::InferenceMode no_gradients;
  check(spec, request);
  spec.evaluate.clear();  // no text is opened
  const std::unique_ptr<Pipeline> pipeline = open_pipeline(spec.model.path);
  session.open(spec, monitor);

  ImageSamplingReport report;
  report.sampling = pipeline->resolve(request.sampling);
  report.pipeline = pipeline->description();
  const Sampling& sampling = report.sampling;
  const std::vector<ImagePrompt> prompts = prompts_of(*pipeline, request);
  std::vector<Condition> conditions;
  {
    const auto phase = monitor.phase("text");
    const auto start = Clock::now();
    conditions = pipeline->conditions(prompts, sampling, [&](const std::string& text) { monitor.warn(text); });
    report.text_s = seconds_since(start);
  }

  std::unique_ptr<Network> walked;
  std::optional<InstalledQuantizers> quantizers;
  Network* network = nullptr;
  if (request.streamed) {
    walked = session.model().build(false);
    walked->pack_ends();
    network = walked.get();
  } else {
    network = &session.prepared(spec, monitor);
    quantizers.emplace(session.slots(spec, monitor), false);
    report.weight_bits = std::min(spec.quantization.weights.bits, 16.0);
  }

  const auto total = static_cast<std::int64_t>(prompts.size()) * sampling.steps;
  std::int64_t done = 0;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    SampledImage made;
    made.name = prompts[i].name;
    made.label = label_of(*pipeline, prompts[i]);
    made.seed = seed_of(prompts[i], request.seed);
    at::Tensor latent;
    {
      const auto phase = monitor.phase("denoise");
      const auto start = Clock::now();
      monitor.step(done, total);
      const auto denoise = [&](std::size_t, const WorkItem& item) {
        return request.streamed ? run_streamed(*network, item) : network->run(item).named.at("noise");
      };
      latent = pipeline->sample(
          sampling, conditions[i], pipeline->noise(sampling, made.seed), denoise,
          [&](std::size_t, const at::Tensor&) { monitor.step(++done, total); }, made.seed);
      report.denoise_s += seconds_since(start);
    }
    const auto phase = monitor.phase("decode");
    const auto start = Clock::now();
    conditions[i].clear();
    made.image = pipeline->finish(sampling, pipeline->decode(latent));
    give_back_free_memory();
    report.decode_s += seconds_since(start);
    give(made);
    ++report.images;
  }
  if (quantizers) report.activation_bits = quantizers->average_bits().activations.value_or(16.0);
  return report;
}

std::string text_of(const ImageSamplingReport& r) {
  const Sampling& s = r.sampling;
  std::string text = fmt::format("images   {} of {} x {} pixels", r.images, s.height, s.width);
  if (s.rendered_height != s.height || s.rendered_width != s.width)
    text += fmt::format(", made at {} x {}", s.rendered_height, s.rendered_width);
  text += fmt::format("\nsteps    {}, guidance {:.4g}\n", s.steps, s.embedded_guidance.value_or(s.guidance));
  const double steps = static_cast<double>(std::max<std::int64_t>(r.images * s.steps, 1));
  text += fmt::format("seconds  {:.1f} for the texts, {:.1f} for the steps ({:.3f} each), {:.1f} for the pixels\n",
                      r.text_s, r.denoise_s, r.denoise_s / steps, r.decode_s);
  text += fmt::format("bits     weights {:.4g}, activations {:.5g}", r.weight_bits, r.activation_bits);
  return text;
}

}  // namespace stamp
