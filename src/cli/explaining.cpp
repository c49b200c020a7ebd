#include "cli/explaining.h"

#include <algorithm>

#include "base/error.h"
#include "formats/checkpoint.h"
#include "models/info/architecture.h"

namespace stamp {

namespace {

bool described(const Json& model) {
  const auto it = model.find("dimensions");
  return it != model.end() && it->is_object() && model.contains("architecture");
}

}  // namespace

Explanation explain_trial(const std::string& id, const Json& spec, const Record* record,
                          const std::string& model_path) {
  ExplainRequest request;
  request.trial = id;
  request.spec = spec;
  request.record = record;
  if (record && described(record->model)) {
    request.description = record->model;
  } else {
    request.description = describe_model(*open_checkpoint(model_path));
    if (const auto it = spec.find("model"); it != spec.end())
      request.description["name"] = it->value("name", std::string());
  }
  return explain(request);
}

std::vector<PageExplanation> page_explanations(const ReportSource& source) {
  std::vector<PageExplanation> out;
  std::vector<std::string> keys;
  for (const ReportTrial& t : source.trials) {
    if (!t.record || t.record->status != "done" || !described(t.record->model)) continue;
    Explanation e = explain_trial(t.id, t.record->spec, &*t.record, "");
    Json key = explanation_json(e);
    key.erase("trial");
    for (Json& slot : key["slots"])
      for (const char* measured : {"ratio", "sqnr_db", "average_bits"}) slot.erase(measured);
    const std::string text = key.dump();
    const auto it = std::find(keys.begin(), keys.end(), text);
    if (it != keys.end()) {
      out[static_cast<std::size_t>(it - keys.begin())].trials.push_back(t.id);
      continue;
    }
    keys.push_back(text);
    out.push_back({explanation_title(e), explanation_svg(e, false), explanation_text(e), {t.id}});
  }
  return out;
}

}  // namespace stamp
