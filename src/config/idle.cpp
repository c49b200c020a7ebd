// Settings that do nothing.
#include <algorithm>

#include "base/text.h"
#include "config/build.h"

namespace stamp {
namespace {

constexpr std::size_t most_checked_trials = 1024;  // beyond, looking would be felt at the prompt

struct Pending {
  std::string path;
  Place place;
};

std::vector<Pending> all_settings(const Experiment& e) {
  std::vector<Pending> all;
  for (const Assignment& s : e.settings) all.push_back({s.path, s.given.place});
  for (const Axis& a : e.axes) all.push_back({a.path, a.place});
  for (const ZipGroup& g : e.zips) {
    for (const Axis& a : g.axes) all.push_back({a.path, a.place});
  }
  return all;
}

// Walks axes and zip groups like an odometer until `visit` says enough. False when there are too many combinations.
template <class Visit>
bool for_each_combination(const Experiment& e, Visit&& visit) {
  std::vector<std::vector<const Axis*>> wheels;
  for (const Axis& a : e.axes) wheels.push_back({&a});
  for (const ZipGroup& g : e.zips) {
    wheels.emplace_back();
    for (const Axis& a : g.axes) wheels.back().push_back(&a);
  }
  std::vector<std::size_t> at(wheels.size(), 0);
  for (std::size_t n = 0; n < most_checked_trials; ++n) {
    Assignments assignments;
    for (std::size_t w = 0; w < wheels.size(); ++w) {
      for (const Axis* a : wheels[w]) assignments.push_back({a->path, a->values[at[w]]});
    }
    if (visit(assignments)) return true;
    std::size_t w = 0;
    while (w < wheels.size() && ++at[w] == wheels[w].front()->values.size()) at[w++] = 0;
    if (w == wheels.size()) return true;
  }
  return false;
}

// A condition in words, behind "when".
std::string need_of(const Schema& schema, const std::string& path) {
  std::string owner, when;
  for (const Field* f : schema.find(path)) {
    when = f->when;
    if (!f->owner_kind) continue;
    owner.append(owner.empty() ? std::string("the ").append(name_of(*f->owner_kind)).append(" is ") : " or ");
    owner.append(f->owner);
  }
  if (owner.empty() || when.empty()) return owner.append(when);
  const bool several = when.find(',') != std::string::npos;
  return owner.append(several ? ", and (" : ", and ").append(when).append(several ? ")" : "");
}

}  // namespace

std::vector<std::string> idle_settings(const Experiment& e) {
  std::vector<Pending> pending = all_settings(e);
  // What a piece says is for all files that extend it; that one of them has no use for it is no news.
  std::erase_if(pending,
                [&](const Pending& p) { return p.place.file != e.source && !p.place.file.starts_with("--set"); });
  const auto strike = [&](const Assignments& assignments) {
    std::vector<std::string> ignored;
    const TrialSpec trial = build_trial(*e.schema, e.settings, assignments, ignored);
    std::erase_if(pending, [&](const Pending& p) {
      const std::vector<const Field*> fields = e.schema->find(p.path);
      return std::any_of(fields.begin(), fields.end(), [&](const Field* f) { return f->matters(trial); });
    });
    return pending.empty();
  };
  for (const Cell& cell : e.cells) strike(cell.assignments);
  if (!for_each_combination(e, strike)) return {};
  std::vector<std::string> warnings;
  for (const Pending& p : pending) {
    warnings.push_back(p.place.text() + ": " + p.path + ": does nothing in any trial; it matters only when " +
                       need_of(*e.schema, p.path));
  }
  return warnings;
}

}  // namespace stamp
