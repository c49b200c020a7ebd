#include "report/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/text.h"
#include "report/difference.h"
#include "report/table.h"

namespace stamp {

namespace {

using Settings = std::map<std::string, std::string>;

Settings settings_of(const Record& r) {
  Settings s;
  for (const auto& [path, value] : flatten(r.spec)) s[path] = setting_text(value);
  return s;
}

std::string value_at(const Settings& s, const std::string& path) {
  const auto it = s.find(path);
  return it == s.end() ? "" : it->second;
}

std::set<std::string> values_at(const std::vector<Settings>& all, const std::string& path) {
  std::set<std::string> out;
  for (const Settings& s : all) out.insert(value_at(s, path));
  return out;
}

std::set<std::string> paths_of(const std::vector<Settings>& a, const std::vector<Settings>& b) {
  std::set<std::string> paths;
  for (const auto* list : {&a, &b})
    for (const Settings& s : *list)
      for (const auto& [path, value] : s) paths.insert(path);
  return paths;
}

MetricDifference metric_difference(const Metric& a, const Metric& b) {
  MetricDifference d;
  d.metric = a.name;
  d.a = a.value;
  d.b = b.value;
  if (a.protocol != b.protocol) {
    d.refused = fmt::format("protocols differ: {} | {}", a.protocol, b.protocol);
  } else if (!a.items.empty() && a.items.size() == b.items.size()) {
    const PairedInterval p = paired_interval(a.items, b.items);
    d.mean = p.mean;
    d.low = p.low;
    d.high = p.high;
    d.items = a.items.size();
    d.unit = item_unit(a);
  }
  return d;
}

// Paths that take more than one value in a run.
std::vector<std::string> varied_in(const std::vector<Settings>& all) {
  std::vector<std::string> varied;
  for (const std::string& path : paths_of(all, {}))
    if (values_at(all, path).size() > 1) varied.push_back(path);
  return varied;
}

std::string shown(const std::string& value) {
  return value.empty() ? "-" : value;
}

// Settings of one trial among those that vary in its run: enough to recognise it. Names are the shortest that are not
// also another setting's, whether that one varies or not: calibration.context, as there is data.context. What cannot
// matter to the trial is not among its settings and is left out.
std::string settings_text(const Settings& s, const std::vector<std::string>& varied,
                          const std::vector<std::string>& all) {
  std::vector<std::string> parts;
  for (const std::string& path : varied)
    if (const std::string value = value_at(s, path); !value.empty())
      parts.push_back(short_name(path, all) + "=" + value);
  return join(parts, ", ");
}

std::string describe(const Record& r, const Settings& s, const std::vector<std::string>& varied,
                     const std::vector<std::string>& all) {
  const std::string settings = settings_text(s, varied, all);
  std::string text = r.id;
  if (!settings.empty()) text += " (" + settings + ")";
  if (r.status != "done") text += " failed";
  return text;
}

}  // namespace

double student_t_975(std::size_t n) {
  // Small degrees are tabulated; above, the expansion around the normal quantile (Abramowitz and Stegun 26.7.5) is
  // good to 1e-5.
  static constexpr double small[] = {12.706205, 4.302653, 3.182446, 2.776445, 2.570582,
                                     2.446912,  2.364624, 2.306004, 2.262157, 2.228139};
  if (n == 0) n = 1;
  if (n <= std::size(small)) return small[n - 1];
  const double z = 1.959963984540054, v = static_cast<double>(n), z3 = z * z * z, z5 = z3 * z * z, z7 = z5 * z * z;
  const double z9 = z7 * z * z;
  return z + (z3 + z) / (4 * v) + (5 * z5 + 16 * z3 + 3 * z) / (96 * v * v) +
         (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * v * v * v) +
         (79 * z9 + 776 * z7 + 1482 * z5 - 1920 * z3 - 945 * z) / (92160 * v * v * v * v);
}

PairedInterval paired_interval(const std::vector<double>& a, const std::vector<double>& b) {
  PairedInterval p;
  const std::size_t n = std::min(a.size(), b.size());
  if (n == 0) return p;
  double sum = 0;
  for (std::size_t i = 0; i < n; ++i) sum += b[i] - a[i];
  p.mean = sum / static_cast<double>(n);
  if (n < 2) return p;
  double squares = 0;
  for (std::size_t i = 0; i < n; ++i) squares += (b[i] - a[i] - p.mean) * (b[i] - a[i] - p.mean);
  const double half = student_t_975(n - 1) * std::sqrt(squares / static_cast<double>(n - 1) / static_cast<double>(n));
  p.low = p.mean - half;
  p.high = p.mean + half;
  return p;
}

Comparison compare(const std::vector<Record>& a, const std::vector<Record>& b) {
  Comparison out;
  std::vector<Settings> sa, sb;
  for (const Record& r : a) sa.push_back(settings_of(r));
  for (const Record& r : b) sb.push_back(settings_of(r));

  const std::set<std::string> paths = paths_of(sa, sb);
  const std::vector<std::string> all(paths.begin(), paths.end());
  std::set<std::string> ignored;
  for (const std::string& path : paths) {
    const std::set<std::string> va = values_at(sa, path), vb = values_at(sb, path);
    if (va.size() == 1 && vb.size() == 1 && *va.begin() != *vb.begin()) {
      ignored.insert(path);
      out.whole.push_back({path, *va.begin(), *vb.begin()});
    }
  }
  const auto key = [&](Settings s) {
    for (const std::string& path : ignored) s.erase(path);
    return s;
  };
  const std::vector<std::string> varied_a = varied_in(sa), varied_b = varied_in(sb);
  const bool single = a.size() == 1 && b.size() == 1;
  std::vector<bool> used(b.size(), false);
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t partner = b.size();
    for (std::size_t j = 0; j < b.size() && partner == b.size(); ++j)
      if (!used[j] && a[i].status == "done" && b[j].status == "done" && (single || key(sa[i]) == key(sb[j])))
        partner = j;
    if (partner == b.size()) {
      out.only_a.push_back(describe(a[i], sa[i], varied_a, all));
      continue;
    }
    used[partner] = true;
    TrialPair pair{a[i].id, b[partner].id, settings_text(sb[partner], varied_b, all), {}, {}, {}, {}};
    for (const std::string& path : paths_of({sa[i]}, {sb[partner]}))
      if (value_at(sa[i], path) != value_at(sb[partner], path))
        pair.settings.push_back({path, value_at(sa[i], path), value_at(sb[partner], path)});
    for (const Metric& m : a[i].metrics)
      if (const Metric* n = find_metric(b[partner], m.name))
        pair.metrics.push_back(metric_difference(m, *n));
      else
        pair.only_a.push_back(m.name);
    for (const Metric& m : b[partner].metrics)
      if (!find_metric(a[i], m.name)) pair.only_b.push_back(m.name);
    out.pairs.push_back(std::move(pair));
  }
  for (std::size_t j = 0; j < b.size(); ++j)
    if (!used[j]) out.only_b.push_back(describe(b[j], sb[j], varied_b, all));
  return out;
}

std::string comparison_text(const Comparison& c, const std::string& a_name, const std::string& b_name) {
  std::string out = fmt::format("A: {}\nB: {}\n\n", a_name, b_name);
  if (c.whole.empty()) {
    out += "No setting differs between the two as a whole.\n";
  } else {
    out += "Settings that differ:\n";
    for (const SettingDifference& d : c.whole) out += fmt::format("  {}: {} | {}\n", d.path, shown(d.a), shown(d.b));
  }
  for (const TrialPair& p : c.pairs) {
    out += p.a == p.b ? fmt::format("\n{}\n", p.a) : fmt::format("\n{} | {}\n", p.a, p.b);
    for (const MetricDifference& m : p.metrics) {
      if (!m.refused.empty()) {
        out += fmt::format("  {}: {} | {}: not compared, {}\n", m.metric, value_text(m.a), value_text(m.b), m.refused);
        continue;
      }
      const double change = m.b - m.a;
      out += fmt::format("  {}: {} | {}", m.metric, value_text(m.a), value_text(m.b));
      if (change == 0)
        out += "  equal";
      else
        out += fmt::format("  {}{}{}", change > 0 ? "+" : "", value_text(change),
                           m.a != 0 ? fmt::format(" ({:+.1f}%)", 100 * change / std::fabs(m.a)) : "");
      if (m.mean && change != 0) {
        out += fmt::format("; per item {}{}", *m.mean > 0 ? "+" : "", value_text(*m.mean));
        if (!m.unit.empty()) out.append(" ").append(m.unit);
        if (m.low) out += fmt::format(" [{}, {}]", value_text(*m.low), value_text(*m.high));
        out += fmt::format(" over {} pairs", m.items);
      }
      out += "\n";
    }
    if (!p.only_a.empty()) out += fmt::format("  only in A: {}\n", join(p.only_a, ", "));
    if (!p.only_b.empty()) out += fmt::format("  only in B: {}\n", join(p.only_b, ", "));
  }
  if (!c.only_a.empty()) out += "\nOnly in A:\n";
  for (const std::string& s : c.only_a) out += "  " + s + "\n";
  if (!c.only_b.empty()) out += "\nOnly in B:\n";
  for (const std::string& s : c.only_b) out += "  " + s + "\n";
  return out;
}

}  // namespace stamp
