#include "models/pipeline/pipeline.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <stdexcept>

#include "base/error.h"
#include "formats/utf8.h"
#include "images/resize.h"
#include "models/pipeline/families.h"
#include "models/tensors.h"

namespace stamp {
namespace {

bool all_finite(const at::Tensor& tensor) {
  const float* values = tensor.const_data_ptr<float>();
  return std::all_of(values, values + tensor.numel(), [](float v) { return std::isfinite(v); });
}

std::span<const float> span_of(const at::Tensor& tensor) {
  return {tensor.const_data_ptr<float>(), static_cast<std::size_t>(tensor.numel())};
}

// The angle s of a TrigFlow step as the time u that a flow model knows, and the factor between their samples
// (models 12.6).
struct FlowTime {
  double u, factor;
};
FlowTime flow_time(double angle) {
  const double u = std::sin(angle) / (std::cos(angle) + std::sin(angle));
  return {u, std::sqrt(u * u + (1 - u) * (1 - u))};
}

bool is_trigflow(const Sampling& sampling) {
  return sampling.scheduler->prediction() == Prediction::trigflow;
}

double time_of(const Sampling& sampling, std::size_t step) {
  return sampling.scheduler->timesteps().at(step);
}

std::string step_text(std::size_t step, const Sampling& sampling) {
  return "denoising step " + std::to_string(step + 1) + " of " + std::to_string(sampling.scheduler->steps());
}

at::Generator generator_of(std::uint64_t seed) {
  return at::detail::createCPUGenerator(seed);
}

at::Tensor standard_normal(at::IntArrayRef shape, const at::Generator& generator) {
  return at::randn(shape, generator, at::TensorOptions(at::kFloat));
}

}  // namespace

std::uint64_t seed_of(const ImagePrompt& prompt, std::uint64_t offset) {
  constexpr std::uint64_t modulus = 1'000'000'007;
  std::uint64_t h = 0;
  for (std::size_t at = 0; at < prompt.name.size();) {
    const CodePoint c = decode_utf8(prompt.name, at);
    h = (31 * h + static_cast<std::uint64_t>(c.value)) % modulus;
    at += static_cast<std::size_t>(std::max(c.bytes, 1));
  }
  return h + offset;
}

at::Tensor Pipeline::noise(const Sampling& sampling, std::uint64_t seed) const {
  return standard_normal({1, config().in_channels, sampling.latent_height, sampling.latent_width}, generator_of(seed));
}

WorkItem Pipeline::item(const Sampling& sampling, const Condition& condition, const at::Tensor& latent,
                        std::size_t step) const {
  if (latent.dim() != 4 || latent.size(0) != 1 || latent.size(2) != sampling.latent_height ||
      latent.size(3) != sampling.latent_width)
    throw std::logic_error("a denoising step takes the latent of one image, of the size that was resolved");
  const std::int64_t samples = sampling.guided() ? 2 : 1;
  WorkItem item;
  item.index = static_cast<std::int64_t>(step);
  item.inputs = condition;
  double time = time_of(sampling, step) * config().timestep_scale;
  at::Tensor seen = latent;
  if (is_trigflow(sampling)) {
    const FlowTime flow = flow_time(time_of(sampling, step));
    time = flow.u;
    seen = latent.mul(flow.factor / sampling.scheduler->data_scale());
  }
  item.inputs["latent"] = samples == 2 ? at::cat({seen, seen}) : seen;
  item.inputs["timestep"] = at::full({samples}, time, at::TensorOptions(at::kFloat));
  Segment grid;
  const std::int64_t patch = config().patch_size;
  grid.width = sampling.latent_width / patch;
  grid.rows = sampling.latent_height / patch * grid.width;
  item.segments.assign(static_cast<std::size_t>(samples), grid);
  return item;
}

at::Tensor Pipeline::scheduler_output(const Sampling& sampling, const at::Tensor& prediction, const at::Tensor& latent,
                                      std::size_t step) const {
  if (!is_trigflow(sampling)) return prediction.contiguous();
  const FlowTime flow = flow_time(time_of(sampling, step));
  const double u = flow.u, scale = sampling.scheduler->data_scale();
  const at::Tensor seen = latent.mul(flow.factor / scale);
  return seen.mul(1 - 2 * u).add_(prediction, 1 - 2 * u + 2 * u * u).mul_(scale / flow.factor);
}

at::Tensor Pipeline::sample(const Sampling& sampling, const Condition& condition, at::Tensor noise,
                            const Denoise& denoise, const After& after, std::uint64_t seed) const {
  Scheduler& scheduler = *sampling.scheduler;
  at::Generator generator;
  if (scheduler.needs_noise(0)) {
    generator = generator_of(seed);
    standard_normal(noise.sizes(), generator);  // what noise() drew
  }
  at::Tensor x = noise.mul(scheduler.init_noise_sigma() * scheduler.data_scale());
  for (std::size_t step = 0; step < static_cast<std::size_t>(scheduler.steps()); ++step) {
    const at::Tensor output = denoise(step, item(sampling, condition, x, step)).contiguous();
    if (!all_finite(output))
      throw TrialError("non_finite", step_text(step, sampling) + ": the denoiser gave NaN or infinities");
    const at::Tensor taken = scheduler_output(sampling, guided(sampling, output), x, step).contiguous();
    const auto i = static_cast<std::int64_t>(step);
    at::Tensor fresh;
    if (scheduler.needs_noise(i)) fresh = standard_normal(noise.sizes(), generator);
    x = contiguous_copy(x);  // whoever saw the item keeps its latent
    scheduler.step(i, span_of(taken), {x.data_ptr<float>(), static_cast<std::size_t>(x.numel())},
                   fresh.defined() ? span_of(fresh) : std::span<const float>{});
    if (!all_finite(x)) throw TrialError("non_finite", step_text(step, sampling) + " left NaN or infinities");
    if (after) after(step, x);
  }
  return scheduler.data_scale() == 1 ? x : x.div(scheduler.data_scale());
}

Image Pipeline::finish(const Sampling& sampling, const at::Tensor& decoded) const {
  const std::int64_t height = sampling.rendered_height, width = sampling.rendered_width;
  const at::Tensor values = decoded.contiguous();
  if (values.numel() != 3 * height * width) throw std::logic_error("the decoded image has another size");
  Image image(height, width);
  const float* from = values.const_data_ptr<float>();
  // As the references: cut off behind the resizing, which averages what lies outside as well.
  std::transform(from, from + values.numel(), image.values.begin(), [](float v) { return v / 2 + 0.5F; });
  image = resize_to_cover(image, {sampling.height, sampling.width});
  for (float& v : image.values) v = std::clamp(v, 0.0F, 1.0F);
  return image;
}

std::unique_ptr<Pipeline> open_pipeline(const std::string& path, std::shared_ptr<const DiffusionSource> source) {
  PipelineFolder folder(path);
  if (!source)
    source =
        std::make_shared<const DiffusionSource>(std::shared_ptr<const Checkpoint>(open_checkpoint(folder.denoiser())));
  switch (source->config().kind) {
    case DiffusionKind::dit: return make_dit_pipeline(std::move(folder), std::move(source));
    case DiffusionKind::pixart: return make_pixart_pipeline(std::move(folder), std::move(source));
    case DiffusionKind::sana: return make_sana_pipeline(std::move(folder), std::move(source));
  }
  throw std::logic_error("unknown kind of diffusion transformer");
}

}  // namespace stamp
