// Curves: the table's metric against whatever number the sweep varies. Columns: docs/records.md.
#include <algorithm>
#include <map>
#include <set>

#include "base/text.h"
#include "report/plot_data.h"
#include "report/table.h"

namespace stamp {

namespace {

constexpr const char* average_axis = "average bits";
constexpr std::size_t fewest_points = 3;

// Points that differ in a seed alone are repetitions of one another.
bool is_seed(const std::string& path) {
  return path == "repeat" || path.ends_with(".seed");
}
// Numbers whose effect is the average of bits: where that varies, it is the axis.
bool sets_average(const std::string& path) {
  return path == "quantization.activations.bits" || path == "quantization.kv_cache.bits" ||
         path == "quantization.allocation.high_tokens" || path == "quantization.allocation.high_bits" ||
         path == "quantization.allocation.average_bits";
}

struct Shown {
  const ReportTrial* trial;
  const Json* labels;
  const Metric* metric;
};

std::optional<double> average_bits(const Record& r) {
  for (const char* key : {"activation_bits", "kv_bits"})
    if (const auto it = r.averages.find(key); it != r.averages.end() && it->is_number() && it->get<double>() < 16)
      return it->get<double>();
  return std::nullopt;
}

std::optional<double> position(const Shown& p, const std::string& axis) {
  if (axis == average_axis) return average_bits(*p.trial->record);
  const auto value = setting(*p.labels, p.trial->record->spec, axis);
  if (!value || !value->is_number()) return std::nullopt;
  return value->get<double>();
}

std::size_t distinct_positions(const std::vector<Shown>& places, const std::string& axis) {
  std::set<double> seen;
  for (const Shown& p : places)
    if (const auto x = position(p, axis)) seen.insert(*x);
  return seen.size();
}

std::string series_of(const Shown& p, const std::vector<std::string>& paths) {
  Json values = Json::object();
  for (const std::string& path : paths)
    if (const auto value = setting(*p.labels, p.trial->record->spec, path)) values[path] = *value;
  return label_text(values, paths);
}

// Places whose line has enough points to be one. A line: all that has one style and one series.
std::vector<Shown> on_curves(const std::vector<Shown>& places, const std::string& axis,
                             const std::vector<std::string>& others) {
  const auto line_of = [&](const Shown& p) {
    std::string name = series_of(p, others);
    for (const char* path : {"model.name", "quantization.method", "quantization.sequence.transform"})
      if (const auto value = setting(*p.labels, p.trial->record->spec, path))
        name.append("\n").append(setting_text(*value));
    return name;
  };
  std::map<std::string, std::set<double>> points;
  for (const Shown& p : places)
    if (const auto x = position(p, axis)) points[line_of(p)].insert(*x);
  std::vector<Shown> kept;
  for (const Shown& p : places)
    if (position(p, axis) && points[line_of(p)].size() >= fewest_points) kept.push_back(p);
  return kept;
}

std::vector<std::string> those_that_vary(const std::vector<Shown>& places, const std::vector<std::string>& paths) {
  std::vector<std::string> out;
  for (const std::string& path : paths) {
    std::set<std::string> values;
    for (const Shown& p : places) {
      const auto value = setting(*p.labels, p.trial->record->spec, path);
      values.insert(value ? setting_text(*value) : "");
    }
    if (values.size() > 1) out.push_back(path);
  }
  return out;
}

}  // namespace

std::string curves_csv(const ReportSource& source) {
  const std::string& metric = source.table.value;
  static const Json none = Json::object();
  std::vector<Shown> places;
  for (const ReportTrial& t : source.trials) {
    if (!t.record || t.record->status != "done") continue;
    const Metric* m = find_metric(*t.record, metric);
    if (!m) continue;
    if (t.labels.empty()) places.push_back({&t, &none, m});
    for (const Json& labels : t.labels) places.push_back({&t, &labels, m});
  }

  const std::vector<std::string> varied = varied_paths(source);
  std::vector<std::string> axes;
  const bool by_average = distinct_positions(places, average_axis) > fewest_points;
  if (by_average) axes.push_back(average_axis);
  for (const std::string& path : varied)
    if (!drawn_by_style(path) && !is_seed(path) && !(by_average && sets_average(path)) &&
        distinct_positions(places, path) >= fewest_points)
      axes.push_back(path);

  std::string out = csv_line({"id", "model", "method", "transform", "series", "axis", "x", "metric", "unit", "value",
                              "low", "high", "n", "fp", "lower_is_better", "protocol", "over"});
  for (const std::string& axis : axes) {
    std::vector<std::string> others;
    for (const std::string& path : varied)
      if (path != axis && !drawn_by_style(path) && !is_seed(path) && !(axis == average_axis && sets_average(path)))
        others.push_back(path);
    const std::vector<Shown> drawn = axis == average_axis ? places : on_curves(places, axis, others);
    others = those_that_vary(drawn, others);
    for (const Shown& p : drawn) {
      const auto x = position(p, axis);
      if (!x) continue;
      const Record& r = *p.trial->record;
      const auto text = [&](const char* path) {
        const auto value = setting(*p.labels, r.spec, path);
        return value ? setting_text(*value) : std::string();
      };
      const Metric* fp = find_metric(r, metric + "_fp");
      const auto number = [](const std::optional<double>& v) { return v ? number_text(*v) : std::string(); };
      out += csv_line({p.trial->id, text("model.name"), text("quantization.method"),
                       text("quantization.sequence.transform"), series_of(p, others), axis, number_text(*x), metric,
                       p.metric->unit, number_text(p.metric->value), number(p.metric->low), number(p.metric->high),
                       std::to_string(p.metric->n), fp ? number_text(fp->value) : "",
                       p.metric->lower_is_better ? "1" : "0", p.metric->protocol, p.metric->over});
    }
  }
  return out;
}

}  // namespace stamp
