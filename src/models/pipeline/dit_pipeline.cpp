// DiT: a class, or none, and DDIM. Specification models 15.3.
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cctype>
#include <map>

#include "base/error.h"
#include "base/text.h"
#include "models/pipeline/families.h"

namespace stamp {
namespace {

FamilyTraits traits() {
  FamilyTraits t;
  t.pipelines = {"DiTPipeline"};
  t.steps = 50;
  t.guidance = 4;
  t.condition_first = true;
  return t;
}

class DitPipeline : public FamilyPipeline {
 public:
  DitPipeline(PipelineFolder folder, std::shared_ptr<const DiffusionSource> source)
      : FamilyPipeline(std::move(folder), std::move(source), traits()) {
    read_names();
  }

  Sampling resolve(const SamplingRequest& request) const override {
    if (!request.negative_prompt.empty())
      throw ConfigError("a negative prompt: " + denoiser() + " reads classes, not texts");
    return FamilyPipeline::resolve(request);
  }

  std::int64_t class_named(const std::string& text) const override {
    const bool number = !text.empty() && text.size() < 10 && std::all_of(text.begin(), text.end(), [](char c) {
      return std::isdigit(static_cast<unsigned char>(c)) != 0;
    });
    if (number) {
      check_class(std::stoll(text));
      return std::stoll(text);
    }
    const auto found = by_name_.find(text);
    if (found != by_name_.end()) return found->second;
    std::vector<std::string> names;
    for (const auto& [name, id] : by_name_) names.push_back(name);
    throw ConfigError("class \"" + text + "\"" + did_you_mean(text, names) + ": allowed are numbers from 0 to " +
                      std::to_string(config().classes - 1) +
                      (names.empty() ? "; model_index.json has no names (id2label)"
                                     : " and the names of model_index.json (id2label)"));
  }

  std::string class_name(std::int64_t id) const override {
    const auto found = names_.find(id);
    return found == names_.end() ? "" : found->second;
  }

  std::vector<Condition> conditions(const std::vector<ImagePrompt>& prompts, const Sampling& sampling,
                                    const std::function<void(const std::string&)>&) const override {
    std::vector<Condition> out;
    for (const ImagePrompt& prompt : prompts) {
      if (prompt.class_id < 0 && !prompt.text.empty())
        throw ConfigError(prompt_text(prompt.text) + ": " + denoiser() + " reads classes, not texts");
      check_class(prompt.class_id);
      at::Tensor classes = at::empty({sampling.guided() ? 2 : 1}, at::TensorOptions(at::kLong));
      classes.data_ptr<std::int64_t>()[0] = prompt.class_id;
      if (sampling.guided()) classes.data_ptr<std::int64_t>()[1] = config().classes;  // the null class
      out.push_back({{"class", classes}});
    }
    return out;
  }

 private:
  void check_class(std::int64_t id) const {
    if (id < 0 || id >= config().classes)
      throw ConfigError("class " + std::to_string(id) + ": " + denoiser() + " has the classes 0 to " +
                        std::to_string(config().classes - 1));
  }

  // "id2label": {"0": "tench, Tinca tinca"}; every part between commas is a name.
  void read_names() {
    const auto labels = folder_.index().find("id2label");
    if (labels == folder_.index().end() || labels->is_null()) return;
    const std::string place = folder_.place("model_index.json") + ": id2label: ";
    if (!labels->is_object()) throw DataError(place + "must be a JSON object of class numbers and names");
    for (const auto& [key, value] : labels->items()) {
      if (key.empty() || key.size() > 9 ||
          !std::all_of(key.begin(), key.end(), [](unsigned char c) { return std::isdigit(c) != 0; }) ||
          !value.is_string())
        throw DataError(place + "\"" + key + "\" must be a class number with a name");
      const std::int64_t id = std::stoll(key);
      names_[id] = value.get<std::string>();
      for (const std::string& name : split(names_[id], ',')) by_name_.emplace(trim(name), id);
    }
  }

  std::map<std::int64_t, std::string> names_;
  std::map<std::string, std::int64_t> by_name_;
};

}  // namespace

std::unique_ptr<Pipeline> make_dit_pipeline(PipelineFolder folder, std::shared_ptr<const DiffusionSource> source) {
  return std::make_unique<DitPipeline>(std::move(folder), std::move(source));
}

}  // namespace stamp
