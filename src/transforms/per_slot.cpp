#include "transforms/per_slot.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "base/error.h"
#include "base/option_info.h"
#include "base/text.h"
#include "transforms/haar.h"
#include "transforms/haar2d.h"
#include "transforms/levels.h"

namespace stamp {
namespace {

constexpr std::int64_t most_levels = 20;  // of the longest sequence that a trial may have, 2^20 tokens

TrialError refused(const std::string& why) {
  return {"refused", std::string("sequence transform ") + per_slot_name + ": " + why};
}

const OptionInfo* levels_of(const PluginInfo& info) {
  const auto found = std::find_if(info.options.begin(), info.options.end(), [](const OptionInfo& o) {
    return o.name == "levels" && o.type == OptionInfo::Type::integer;
  });
  return found == info.options.end() ? nullptr : &*found;
}

// Names in the order of the register, each followed by its numbers of levels.
std::vector<std::string> candidate_names(const std::vector<SequenceTransformPlugin>& others) {
  std::vector<std::string> names;
  for (const SequenceTransformPlugin& p : others) {
    if (p.info.needs_calibration) continue;  // a basis for every slot is another way to choose one
    names.push_back(p.info.name);
    const OptionInfo* levels = levels_of(p.info);
    if (levels == nullptr) continue;
    const auto most = static_cast<std::int64_t>(std::min<double>(levels->max.value_or(most_levels), most_levels));
    for (std::int64_t n = 1; n <= most; ++n) names.push_back(p.info.name + "/" + std::to_string(n));
  }
  return names;
}

const SequenceTransformPlugin* plugin_called(const std::string& name) {
  for (const SequenceTransformPlugin& p : sequence_transforms())
    if (p.info.name == name && !p.info.needs_calibration) return &p;
  return nullptr;
}

std::optional<std::int64_t> whole_number(const std::string& text) {
  if (text.empty() || text.size() > 2 || text.find_first_not_of("0123456789") != std::string::npos) return std::nullopt;
  return std::stoll(text);
}

// A name of the list; the levels of NAME alone are left to the transform. Nothing for a name that is none.
std::optional<TransformCandidate> candidate_called(const std::string& word) {
  const std::size_t slash = word.find('/');
  const std::string name = word.substr(0, slash);
  const SequenceTransformPlugin* plugin = plugin_called(name);
  if (plugin == nullptr) return std::nullopt;
  Json given = Json::object();
  if (slash != std::string::npos) {
    const OptionInfo* levels = levels_of(plugin->info);
    const std::optional<std::int64_t> number = whole_number(word.substr(slash + 1));
    if (levels == nullptr || !number || static_cast<double>(*number) > levels->max.value_or(most_levels))
      return std::nullopt;
    given["levels"] = *number;
  }
  return TransformCandidate{word, name, complete_options(plugin->info, given, "candidate")};
}

std::string not_known(const std::string& word) {
  const std::vector<std::string> known = candidate_names(sequence_transforms());
  std::string text = "\"";
  text.append(word).append("\" is no candidate; known: ").append(option::choices_text(known));
  return text.append(did_you_mean(word, known));
}

std::vector<std::string> listed(const Json& options) {
  const auto found = options.find("candidates");
  if (found == options.end() || !found->is_array()) return {};
  return found->get<std::vector<std::string>>();
}

std::vector<std::string> every_level(const char* transform, std::int64_t most, const char* cosines) {
  std::vector<std::string> words{"identity"};
  for (std::int64_t n = 1; n <= most; ++n) words.push_back(std::string(transform) + "/" + std::to_string(n));
  words.emplace_back(cosines);
  return words;
}

std::vector<std::string> words_of(const SequenceTransformRequest& r) {
  std::vector<std::string> words = listed(r.options);
  if (!words.empty()) return words;
  if (r.grid_width > 0) return every_level("haar2d", haar2d_most_levels(r.grid_height, r.grid_width), "dct2d");
  return every_level("haar", haar_full_depth(r.tokens), "dct");
}

// haar and haar/5 are one transform where five levels are what auto means.
void name_levels(TransformCandidate& c, const SequenceTransformRequest& r) {
  if (c.transform != "haar" && c.transform != "haar2d") return;
  SequenceTransformRequest own = r;
  own.options = c.options;
  const std::int64_t levels = level_count(c.transform, own)->levels;
  c.options["levels"] = levels;
  if (levels > 0)
    c.label = c.transform + "/" + std::to_string(levels);
  else if (c.transform == "haar")
    c = {"identity", "identity", Json::object()};
  else
    c.options["levels"] = nullptr;  // a grid whose sides do not halve: the transform says so
}

std::string refuse_per_slot(const PlanFacts& facts) {
  if (facts.any_length)
    return "its transforms are chosen for one length and zero-shot questions have any; use haar or dct";
  if (facts.calibration_samples < 1) return "it needs calibration samples (calibration.samples is 0)";
  for (const std::string& word : listed(facts.options)) {
    const std::optional<TransformCandidate> c = candidate_called(word);
    if (!c) return not_known(word);
    const PluginInfo& info = plugin_called(c->transform)->info;
    if (!info.refuse) continue;
    PlanFacts own = facts;
    own.options = c->options;
    if (const std::string why = info.refuse(own); !why.empty())
      return std::string("candidate ").append(word).append(": ").append(why);
  }
  return "";
}

std::unique_ptr<SequenceTransform> make_per_slot(const SequenceTransformRequest& r) {
  const std::vector<TransformCandidate> candidates = transform_candidates(r);
  const float place = r.basis && r.basis->size() == 1 ? r.basis->front() : -1;
  if (!(place >= 0 && place < static_cast<float>(candidates.size()) && place == std::floor(place)))
    throw refused("the calibrated choice is none of its " + std::to_string(candidates.size()) + " candidates");
  const TransformCandidate& chosen = candidates[static_cast<std::size_t>(place)];
  SequenceTransformRequest request = r;
  request.options = chosen.options;
  request.basis.reset();
  return make_sequence_transform(chosen.transform, request);
}

}  // namespace

std::vector<TransformCandidate> transform_candidates(const SequenceTransformRequest& request) {
  std::vector<TransformCandidate> candidates;
  for (const std::string& word : words_of(request)) {
    std::optional<TransformCandidate> c = candidate_called(word);
    if (!c) throw refused(not_known(word));
    name_levels(*c, request);
    candidates.push_back(std::move(*c));
  }
  const std::vector<std::string> order = candidate_names(sequence_transforms());
  const auto place = [&](const TransformCandidate& c) { return std::find(order.begin(), order.end(), c.label); };
  std::stable_sort(candidates.begin(), candidates.end(),
                   [&](const TransformCandidate& a, const TransformCandidate& b) { return place(a) < place(b); });
  candidates.erase(
      std::unique(candidates.begin(), candidates.end(),
                  [](const TransformCandidate& a, const TransformCandidate& b) { return a.label == b.label; }),
      candidates.end());
  return candidates;
}

std::vector<std::pair<std::string, std::size_t>> by_frequency(const std::vector<std::string>& labels) {
  std::map<std::string, std::size_t> counts;
  for (const std::string& label : labels) ++counts[label];
  std::vector<std::pair<std::string, std::size_t>> order(counts.begin(), counts.end());
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  return order;
}

SequenceTransformPlugin per_slot_plugin(const std::vector<SequenceTransformPlugin>& others) {
  PluginInfo info;
  info.name = per_slot_name;
  info.summary = "one of several transforms for every slot, chosen with its bits from calibrated energies";
  info.source = "specification methods 2.3, 2.6 (B3)";
  info.cost = "that of the transforms chosen; row energies of every candidate from one calibration pass";
  info.needs_calibration = true;
  info.options = {option::names("candidates", candidate_names(others),
                                "transforms to choose from, NAME/n with n levels; auto = identity, haar with every "
                                "number of levels, dct; on grids haar2d and dct2d")};
  info.refuse = refuse_per_slot;
  return {info, make_per_slot};
}

}  // namespace stamp
