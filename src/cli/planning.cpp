#include "cli/planning.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "base/text.h"
#include "cli/run_folder.h"
#include "cli/terminal.h"
#include "data/text.h"
#include "formats/checkpoint.h"
#include "models/info/architecture.h"
#include "report/source.h"
#include "sweep/misfit.h"
#include "tasks/task.h"

namespace stamp {

namespace {

constexpr double bytes_per_token = 4.4;  // English text, byte-level BPE of 50 to 130 thousand entries

// A pipeline is given by its folder, its denoiser's, or a file in that one (models/pipeline/pipeline_folder.h). "" when
// the scheduler's settings lie there.
std::string scheduler_missing(const std::string& path) {
  std::error_code ec;
  fs::path root = fs::absolute(path).lexically_normal();
  if (!root.has_filename()) root = root.parent_path();
  if (!fs::is_directory(root, ec)) root = root.parent_path();
  if (!fs::exists(root / "model_index.json", ec) && !fs::is_directory(root / "transformer", ec))
    root = root.parent_path();
  const fs::path file = root / "scheduler" / "scheduler_config.json";
  return fs::exists(file, ec) ? "" : file.string() + ": the file is missing; images are made in its steps";
}

}  // namespace

const Surroundings::ModelFacts& Surroundings::model(const std::string& path) {
  const auto [it, fresh] = models_.try_emplace(path);
  ModelFacts& facts = it->second;
  if (!fresh) return facts;
  std::error_code ec;
  if (!fs::exists(path, ec)) {
    facts.missing = fmt::format("model not found: {}", path);
    return facts;
  }
  try {
    const auto checkpoint = open_checkpoint(path);  // headers only
    const Json description = describe_model(*checkpoint);
    facts.shape = shape_of(description);
    facts.positions = description.value("dimensions", Json::object()).value("context", std::int64_t{0});
  } catch (const DataError& error) {
    facts.missing = error.what();
  }
  return facts;
}

const std::string& Surroundings::text_missing(const std::string& text) {
  const auto [it, fresh] = texts_.try_emplace(text);
  if (fresh) {
    try {
      resolve_text(text, base_);
    } catch (const DataError& error) {
      it->second = error.what();
    }
  }
  return it->second;
}

const Surroundings::TaskFacts& Surroundings::task_facts(const std::string& name, const std::string& source) {
  const auto [it, fresh] = tasks_.try_emplace({name, source});
  TaskFacts& facts = it->second;
  if (!fresh) return facts;
  try {
    const TaskData data = load_task(name, source);
    facts.digest = data.digest;
    for (const TaskItem& item : data.items) {
      double contexts = 0, all_contexts = 0, continuations = 0;
      for (const std::string& text : item.contexts) contexts += static_cast<double>(text.size());
      for (std::size_t c = 0; c < item.candidates(); ++c) {
        all_contexts += static_cast<double>(item.context(c).size());
        continuations += static_cast<double>(item.continuation(c).size());
      }
      facts.shared.push_back((contexts + continuations) / bytes_per_token);
      facts.apart.push_back((all_contexts + continuations) / bytes_per_token);
    }
  } catch (const Error& error) {  // not found, malformed, or no such task
    facts.missing = error.what();
  }
  return facts;
}

double Surroundings::text_bytes(const std::string& text) {
  const auto [it, fresh] = text_bytes_.try_emplace(text, 0);
  if (fresh) it->second = static_cast<double>(load_text(text, base_).content.size());
  return it->second;
}

void Surroundings::warn_of_positions(const TrialSpec& spec) {
  const std::int64_t most = model(spec.model.path).positions;
  if (most <= 0 || spec.data.context <= most) return;
  const std::string text = fmt::format("warning: data.context is {}, and {} was made for {} positions",
                                       spec.data.context, spec.model.name, most);
  if (warned_.insert(text).second) say(text);
}

std::string Surroundings::missing(const TrialSpec& spec) {
  const ModelFacts& facts = model(spec.model.path);
  if (!facts.missing.empty()) return facts.missing;
  std::optional<double> bytes;
  if (reads(spec, "data", catalog_)) {
    if (const std::string& why = text_missing(spec.data.text); !why.empty()) return why;
    try {
      bytes = text_bytes(spec.data.text);
    } catch (const DataError& error) {  // no UTF-8, or empty
      return error.what();
    }
    warn_of_positions(spec);
  }
  if (std::string why = misfit(spec, facts.shape, bytes, catalog_); !why.empty()) return why;
  if (reads(spec, "images", catalog_))
    if (std::string why = scheduler_missing(spec.model.path); !why.empty()) return why;
  if (reads(spec, "zero_shot", catalog_))
    for (const std::string& name : spec.zero_shot.tasks)
      if (const std::string& why = task_facts(name, spec.zero_shot.data).missing; !why.empty()) return why;
  if (reads(spec, "images", catalog_)) {
    std::error_code ec;
    const std::string& prompts = spec.images.prompts;
    return prompts == "auto" || fs::exists(prompts, ec) ? "" : fmt::format("file of prompts not found: {}", prompts);
  }
  if (needs_calibration(spec, catalog_)) return text_missing(spec.calibration.text);
  return "";
}

namespace {

// The digest under `key`, asked for once; "" when the file cannot be read.
template <class Ask>
const std::string& remembered(std::map<std::string, std::string>& digests, const std::string& key, Ask ask) {
  const auto [it, fresh] = digests.try_emplace(key);
  if (!fresh) return it->second;
  try {
    it->second = ask();
  } catch (const DataError&) {
    it->second.clear();
  }
  return it->second;
}

bool differs(const Json& recorded, const std::string& now) {
  const auto it = recorded.find("digest");
  return it != recorded.end() && it->is_string() && !now.empty() && it->get<std::string>() != now;
}

}  // namespace

std::string Surroundings::stale(const TrialSpec& spec, const Record& record) {
  const std::string& model =
      remembered(model_digests_, spec.model.path, [&] { return open_checkpoint(spec.model.path)->digest(); });
  if (differs(record.model, model)) return "the model's files have changed since it was measured";
  if (reads(spec, "zero_shot", catalog_)) {
    const Json recorded = record.data.value("zero_shot", Json::object());
    for (const std::string& name : spec.zero_shot.tasks)
      if (differs(recorded.value(name, Json::object()), task_facts(name, spec.zero_shot.data).digest))
        return "the questions of " + name + " have changed since it was measured";
  }
  if (!reads(spec, "data", catalog_)) return "";
  const std::string& text =
      remembered(text_digests_, spec.data.text, [&] { return load_text(spec.data.text, base_).digest; });
  if (differs(record.data, text)) return "the text has changed since it was measured";
  return "";
}

TrialSize Surroundings::size(const TrialSpec& spec) {
  TrialSize size;
  const ModelFacts& facts = model(spec.model.path);
  size.shape = facts.shape;
  if (reads(spec, "zero_shot", catalog_))
    for (const std::string& name : spec.zero_shot.tasks) {
      const TaskFacts& task = task_facts(name, spec.zero_shot.data);
      const std::vector<double>& tokens = spec.zero_shot.rule == "prefill" ? task.apart : task.shared;
      const auto items = spec.zero_shot.items == 0
                             ? tokens.size()
                             : std::min(tokens.size(), static_cast<std::size_t>(spec.zero_shot.items));
      size.question_tokens += std::accumulate(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(items), 0.0);
    }
  if (!reads(spec, "data", catalog_)) return size;
  if (spec.data.windows == 0 && text_missing(spec.data.text).empty()) {
    size.text_tokens = text_bytes(spec.data.text) / bytes_per_token;
  }
  return size;
}

namespace {

// What the trials have at the paths that --only names: "quantization.method is rtn, smoothquant".
std::string there_is(const Planned& p, const std::string& only) {
  std::vector<std::string> paths, parts;
  for (const std::string& condition : split(only, ',')) {
    const std::string path = trim(condition.substr(0, condition.find('=')));
    if (std::find(paths.begin(), paths.end(), path) == paths.end()) paths.push_back(path);
  }
  for (const std::string& path : paths) {
    std::vector<std::string> values;
    for (const PlannedTrial& t : p.plan.trials) {
      const std::optional<Json> value = p.schema->value(t.spec, path);
      const std::string text = value ? setting_text(*value) : "";
      if (value && std::find(values.begin(), values.end(), text) == values.end()) values.push_back(text);
    }
    parts.push_back(values.empty() ? fmt::format("no trial has {}", path)
                                   : fmt::format("{} is {}", path, join(values, ", ")));
  }
  return join(parts, "; ");
}

}  // namespace

Plan selected_part(const Planned& planned) {
  Plan part = planned.plan;
  if (planned.only.empty()) return part;
  std::erase_if(part.trials, [&](const PlannedTrial& t) { return !planned.only.covers(t.spec, *planned.schema); });
  part.merged = 0;
  for (const PlannedTrial& t : part.trials) part.merged += t.labels.size() - 1;
  return part;
}

std::string selected_sentence(const Planned& planned, const Plan& part, const SharedWork& work, const Estimate& guess) {
  const std::size_t out = planned.plan.trials.size() - part.trials.size();
  std::string text = plan_sentence(part, work, guess);
  if (out > 0) text += fmt::format("; {} trial{} left out by --only", out, out == 1 ? "" : "s");
  return text;
}

Planned plan_experiment(const PlanRequest& request, const Catalog& catalog) {
  Planned p;
  const Experiment experiment = read_experiment(request.file, request.overrides, catalog);
  check_table(experiment.table, request.file);
  p.schema = experiment.schema ? experiment.schema : std::make_shared<const Schema>(catalog);
  if (!request.only.empty()) p.only = Selection(request.only, *p.schema);
  ExpandOptions options;
  options.smoke = request.smoke;
  options.resolve_text = [&catalog](const std::string& text) {
    if (catalog.find(PluginKind::text, text) == nullptr) return text;  // a path
    try {
      return resolve_text(text, "");
    } catch (const DataError&) {
      return text;  // the trial is listed as missing, with the folders that were searched
    }
  };
  p.plan = expand(experiment, catalog, options);
  if (!p.plan.trials.empty() && selected_part(p).trials.empty())
    throw ConfigError(
        fmt::format("--only: {}: no trial of the plan matches; {}", request.only, there_is(p, request.only)));
  for (const std::string& warning : p.plan.warnings) say("warning: " + warning);
  if (!request.output.empty())
    p.folder = request.output;
  else
    p.folder = fs::path("runs") / experiment.name;
  if (request.smoke) p.folder += "-smoke";
  return p;
}

}  // namespace stamp
