#include "models/pipeline/image_set.h"

#include <ATen/ops/cat.h>
#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "models/pipeline/tensor_bytes.h"

namespace stamp {
namespace {

// Images whose decoded reference is kept for the trials that follow: as many as take this many floats.
constexpr std::int64_t kept_floats = std::int64_t{1} << 26;

at::Tensor run_once(Network& network, bool streamed, const WorkItem& item) {
  if (!streamed) return network.run(item).named.at("noise");
  at::Tensor rows = network.enter(item);
  for (std::size_t block = 0; block < network.blocks(); ++block) {
    network.load(block);
    network.forward(block, rows, item);
    network.release(block);
  }
  return network.leave(std::move(rows), item).named.at("noise");
}

}  // namespace

ImageSet::ImageSet(std::shared_ptr<const Pipeline> pipeline, ImagePlan plan)
    : pipeline_(std::move(pipeline)), plan_(std::move(plan)) {
  const std::int64_t patch = pipeline_->config().patch_size;
  rows_ = plan_.sampling.latent_height / patch;
  columns_ = plan_.sampling.latent_width / patch;
}

void ImageSet::require() const {
  if (!generated()) throw std::logic_error("denoising steps are asked for before they are made");
}

at::Tensor ImageSet::noise(std::int64_t image) const {
  return pipeline_->noise(plan_.sampling, plan_.seeds[static_cast<std::size_t>(image)]);
}

const Condition& ImageSet::condition(std::int64_t image) const {
  require();
  return conditions_[static_cast<std::size_t>(image)];
}

WorkItem ImageSet::item(std::int64_t i) const {
  require();
  const StepPlace place = plan_.places.at(static_cast<std::size_t>(i));
  WorkItem item = pipeline_->item(plan_.sampling, condition(place.image), inputs_[static_cast<std::size_t>(i)],
                                  static_cast<std::size_t>(place.step));
  item.index = i;
  return item;
}

const at::Tensor& ImageSet::output(std::int64_t i) const {
  require();
  if (outputs_.empty()) throw std::logic_error("outputs of calibration inputs are not kept");
  return outputs_[static_cast<std::size_t>(i)];
}

const std::vector<at::Tensor>& ImageSet::way(std::int64_t image) const {
  require();
  if (ways_.empty()) throw std::logic_error("images of calibration inputs are not kept");
  return ways_[static_cast<std::size_t>(image)];
}

const at::Tensor& ImageSet::decoded(std::int64_t image) const {
  const auto found = decoded_.find(image);
  if (found != decoded_.end()) return found->second;
  at::Tensor made = pipeline_->decode(way(image).back());
  if (static_cast<std::int64_t>(decoded_.size() + 1) * made.numel() > kept_floats) decoded_.clear();
  return decoded_[image] = std::move(made);
}

void ImageSet::generate(Network& full_precision, bool streamed,
                        const std::function<void(std::int64_t done, std::int64_t total)>& step) {
  const auto warn = [&](const std::string& text) { warnings_.push_back(text); };
  conditions_ = pipeline_->conditions(plan_.prompts, plan_.sampling, warn);
  const auto images = static_cast<std::int64_t>(plan_.prompts.size());
  const std::int64_t steps = plan_.sampling.steps;
  std::vector<at::Tensor> inputs, outputs;
  std::vector<std::vector<at::Tensor>> ways(plan_.keeps_results ? static_cast<std::size_t>(images) : 0);
  std::size_t next = 0;  // place
  for (std::int64_t image = 0; image < images; ++image) {
    const auto at = static_cast<std::size_t>(image);
    const bool traced = next < plan_.places.size() && plan_.places[next].image == image;
    const auto denoise = [&](std::size_t s, const WorkItem& item) {
      step(image * steps + static_cast<std::int64_t>(s), images * steps);
      at::Tensor out = run_once(full_precision, streamed, item);
      if (next < plan_.places.size() && plan_.places[next].image == image &&
          plan_.places[next].step == static_cast<std::int64_t>(s)) {
        inputs.push_back(item.inputs.at("latent").slice(0, 0, 1).clone());
        if (plan_.keeps_results) outputs.push_back(out.clone());
        ++next;
      }
      return out;
    };
    const auto after = [&](std::size_t s, const at::Tensor& latent) {
      if (plan_.keeps_results && (traced || static_cast<std::int64_t>(s) + 1 == steps))
        ways[at].push_back(latent.clone());
    };
    pipeline_->sample(plan_.sampling, conditions_[at], noise(image), denoise, after, plan_.seeds[at]);
  }
  inputs_ = std::move(inputs);
  outputs_ = std::move(outputs);
  ways_ = std::move(ways);
}

std::unique_ptr<Workload> ImageSet::results(bool reference) const {
  require();
  if (!plan_.keeps_results) return nullptr;
  return std::make_unique<FinishedImages>(shared_from_this(), reference);
}

std::string ImageSet::state() const {
  require();
  NamedTensors all;
  for (std::size_t i = 0; i < conditions_.size(); ++i)
    for (const auto& [name, tensor] : conditions_[i]) all[fmt::format("condition.{}.{}", i, name)] = tensor;
  for (std::size_t i = 0; i < inputs_.size(); ++i) all[fmt::format("input.{}", i)] = inputs_[i];
  for (std::size_t i = 0; i < outputs_.size(); ++i) all[fmt::format("output.{}", i)] = outputs_[i];
  for (std::size_t i = 0; i < ways_.size(); ++i) all[fmt::format("way.{}", i)] = at::cat(ways_[i]);
  return bytes_of_tensors(all);
}

bool ImageSet::restore(std::string_view bytes) {
  std::optional<NamedTensors> all = tensors_from_bytes(bytes);
  if (!all) return false;
  std::vector<Condition> conditions(plan_.prompts.size());
  std::vector<at::Tensor> inputs(plan_.places.size()), outputs(plan_.keeps_results ? plan_.places.size() : 0);
  std::vector<std::vector<at::Tensor>> ways(plan_.keeps_results ? plan_.prompts.size() : 0);
  const auto take = [&](const std::string& name) {
    const auto found = all->find(name);
    at::Tensor tensor = found == all->end() ? at::Tensor() : found->second;
    if (found != all->end()) all->erase(found);
    return tensor;
  };
  for (std::size_t i = 0; i < inputs.size(); ++i) inputs[i] = take(fmt::format("input.{}", i));
  for (std::size_t i = 0; i < outputs.size(); ++i) outputs[i] = take(fmt::format("output.{}", i));
  for (std::size_t i = 0; i < ways.size(); ++i)
    if (const at::Tensor whole = take(fmt::format("way.{}", i)); whole.defined())
      for (std::int64_t s = 0; s < whole.size(0); ++s) ways[i].push_back(whole.slice(0, s, s + 1));
  for (std::size_t i = 0; i < conditions.size(); ++i) {
    const std::string prefix = fmt::format("condition.{}.", i);
    for (auto it = all->lower_bound(prefix); it != all->end() && it->first.starts_with(prefix);) {
      conditions[i][it->first.substr(prefix.size())] = it->second;
      it = all->erase(it);
    }
  }
  const auto undefined = [](const at::Tensor& t) { return !t.defined(); };
  if (!all->empty() || std::any_of(inputs.begin(), inputs.end(), undefined) ||
      std::any_of(outputs.begin(), outputs.end(), undefined) ||
      std::any_of(ways.begin(), ways.end(), [](const auto& w) { return w.empty(); }) ||
      std::any_of(conditions.begin(), conditions.end(), [](const Condition& c) { return c.empty(); }))
    return false;
  conditions_ = std::move(conditions);
  inputs_ = std::move(inputs);
  outputs_ = std::move(outputs);
  ways_ = std::move(ways);
  return true;
}

WorkItem FinishedImages::item(std::int64_t i) const {
  WorkItem item;
  item.index = i;
  return item;
}

Outputs FinishedImages::run(Network& network, const WorkItem& item) const {
  const std::vector<at::Tensor>& way_fp = set_->way(item.index);
  Outputs outputs;
  auto& named = outputs.named;
  named["latent_fp"] = way_fp.back();
  named["image_fp"] = set_->decoded(item.index);
  named["way_fp"] = at::cat(way_fp);
  if (reference_) {
    for (const char* name : {"latent", "image", "way"}) named[name] = named.at(std::string(name) + "_fp");
    return outputs;
  }
  const ImagePlan& plan = set_->plan();
  std::vector<at::Tensor> way;
  const auto denoise = [&](std::size_t, const WorkItem& step) { return network.run(step).named.at("noise"); };
  const auto after = [&](std::size_t, const at::Tensor& latent) { way.push_back(latent.clone()); };
  set_->pipeline().sample(plan.sampling, set_->condition(item.index), set_->noise(item.index), denoise, after,
                          plan.seeds[static_cast<std::size_t>(item.index)]);
  named["latent"] = way.back();
  named["image"] = set_->pipeline().decode(way.back());
  // Where of the reference the end alone is kept, the way has nothing to be held against.
  named["way"] = way_fp.size() == way.size() ? at::cat(way) : way.back();
  return outputs;
}

}  // namespace stamp
