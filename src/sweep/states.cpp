#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/text.h"
#include "config/yaml.h"
#include "sweep/plan.h"

namespace stamp {

void set_states(Plan& plan, const ReadRecords& records, const MissingCheck& missing, const StaleCheck& stale) {
  for (PlannedTrial& t : plan.trials) {
    t.state = TrialState::fresh;
    t.reason.clear();
    const Record* r = records.find(t.id);
    if (r && r->status == "done") {
      t.reason = stale ? stale(t.spec, *r) : std::string();
      if (t.reason.empty()) t.state = TrialState::done;
      continue;
    }
    // A failed trial whose model has gone meanwhile cannot run again: the nearer reason wins.
    std::string why = missing ? missing(t.spec) : std::string();
    if (!why.empty()) {
      t.state = TrialState::missing;
      t.reason = std::move(why);
    } else if (r) {
      t.state = TrialState::failed;
      t.reason = r->failure ? fmt::format("{}: {}", r->failure->kind, r->failure->message) : "failed";
    }
  }
}

std::string model_group(const TrialSpec& spec) {
  return spec.model.path + "\n" + spec.model.name;
}

std::string weights_group(const PlannedTrial& trial) {
  const QuantizationSpec& quantization = trial.spec.quantization;
  std::string key = model_group(trial.spec) + "\n" + quantization.method + "\n" + quantization.method_options.dump();
  if (const auto q = trial.canonical.find("quantization"); q != trial.canonical.end() && q->contains("weights"))
    key += (*q)["weights"].dump();
  if (const auto c = trial.canonical.find("calibration"); c != trial.canonical.end()) key += c->dump();
  return key + std::to_string(trial.spec.repeat);  // seeds derive from it
}

SharedWork shared_work(const Plan& plan, const Catalog& catalog) {
  std::set<std::string> models, references, weights, calibrations;
  for (const PlannedTrial& t : plan.trials) {
    if (t.state != TrialState::fresh && t.state != TrialState::failed) continue;
    const TrialSpec& s = t.spec;
    const std::string model = model_group(s) + "\n";
    models.insert(model);
    if (reads(s, "data", catalog))
      references.insert(
          fmt::format("{}{}\n{}\n{}\n{}", model, s.data.text, s.data.context, s.data.windows, s.data.bos));
    if (reads(s, "zero_shot", catalog))
      references.insert(fmt::format("{}{}\n{}\n{}\n{}", model, join(s.zero_shot.tasks, ","), s.zero_shot.items,
                                    s.zero_shot.data, s.zero_shot.bos));
    weights.insert(weights_group(t));
    if (needs_calibration(s, catalog))
      calibrations.insert(fmt::format("{}{}\n{}\n{}\n{}\n{}", model, s.calibration.text, s.calibration.context,
                                      s.calibration.samples, s.calibration.select, s.calibration.seed));
  }
  return {models.size(), references.size(), weights.size(), calibrations.size()};
}

Selection::Selection(const std::string& expression, const Schema& schema) {
  const Place place{"--only", 0, 0};
  exclusion_.place = place;
  std::vector<std::string> faults;
  for (const std::string& part : split(expression, ',')) {
    const std::size_t equals = part.find('=');
    if (equals == std::string::npos || equals == 0) {
      faults.push_back(fmt::format("--only: \"{}\" is not a condition; write path=value,path=value", part));
      continue;
    }
    const std::string path = trim(part.substr(0, equals)), text = trim(part.substr(equals + 1));
    const std::vector<const Field*> fields = schema.find(path);
    if (fields.empty()) {
      faults.push_back(fmt::format("--only: {}: no such setting{}", path, did_you_mean(path, schema.paths())));
      continue;
    }
    YamlNode node;
    node.kind = YamlNode::Kind::scalar;
    node.text = text;
    node.place = place;
    const Json value = scalar_of(node).value;
    std::string why;
    const bool allowed = std::any_of(fields.begin(), fields.end(), [&](const Field* f) {
      // A name among several (evaluate) is asked for alone.
      const bool alone = f->type == Field::Type::names && !(f->automatic && value == "auto");
      const std::string w = check_value(*f, alone ? Json::array({value}) : value);
      if (why.empty()) why = w;
      return w.empty();
    });
    if (!allowed) {
      faults.push_back(fmt::format("--only: {}: {}", path, why));
      continue;
    }
    auto it =
        std::find_if(exclusion_.when.begin(), exclusion_.when.end(), [&](const auto& w) { return w.path == path; });
    if (it == exclusion_.when.end()) it = exclusion_.when.insert(it, {path, {}});
    it->values.push_back({value, place});
  }
  if (!faults.empty()) throw ConfigError(faults);
}

bool Selection::covers(const TrialSpec& spec, const Schema& schema) const {
  return empty() || stamp::covers(exclusion_, spec, schema);
}

}  // namespace stamp
