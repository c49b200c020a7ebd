// The heat map: one trial's slots by layer and kind, shaded within the range of all trials of the run.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/text.h"
#include "report/html.h"
#include "report/page_parts.h"

namespace stamp {

namespace {

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

struct SlotPlace {
  std::string layer, kind;
};

// "layers.3.mlp.down_proj.input" -> 3, "mlp.down_proj"; names without a layer stand in a layer "-".
SlotPlace place_of(const std::string& slot) {
  std::vector<std::string> parts = split(slot, '.');
  SlotPlace place{"-", ""};
  if (parts.size() > 1 && parts.back() == "input") parts.pop_back();
  for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
    const bool number = !parts[i + 1].empty() && parts[i + 1].find_first_not_of("0123456789") == std::string::npos;
    if (!number || (parts[i] != "layers" && !parts[i].ends_with("blocks"))) continue;
    place.layer = parts[i + 1];
    parts.erase(parts.begin(), parts.begin() + static_cast<std::ptrdiff_t>(i) + 2);
    break;
  }
  place.kind = join(parts, ".");
  return place;
}

std::size_t index_in(std::vector<std::string>& list, const std::string& value) {
  const auto it = std::find(list.begin(), list.end(), value);
  if (it != list.end()) return static_cast<std::size_t>(it - list.begin());
  list.push_back(value);
  return list.size() - 1;
}

// Records list linear inputs before caches; a pass meets the caches between q, k, v and o.
void order_kinds(std::vector<std::string>& kinds) {
  std::vector<std::string> caches;
  for (const std::string& k : kinds)
    if (k.ends_with("_cache")) caches.push_back(k);
  const auto before = std::find(kinds.begin(), kinds.end(), "attention.o_proj");
  if (caches.empty() || before == kinds.end()) return;
  std::vector<std::string> ordered(kinds.begin(), before);
  ordered.insert(ordered.end(), caches.begin(), caches.end());
  ordered.insert(ordered.end(), before, kinds.end());
  std::vector<std::string> once;
  for (const std::string& k : ordered) index_in(once, k);
  kinds = once;
}

void order_layers(std::vector<std::string>& layers) {
  std::sort(layers.begin(), layers.end(), [](const std::string& a, const std::string& b) {
    return a.size() != b.size() ? a.size() < b.size() : a < b;  // digits without leading zeros
  });
}

std::vector<double> measured(const SlotResult& s) {
  const SlotStatistics& a = s.sums;
  return {a.b1 > 0 ? s.ratio() : unknown,
          a.worst_ratio,
          a.sqnr_db(),
          a.b3 > 0 ? a.error / a.b3 : unknown,
          a.b5 > 0 ? a.error / a.b5 : unknown,
          s.bits().value_or(unknown),
          s.share().value_or(unknown)};
}

std::string legend(const PageContext& context) {
  std::string out = "<p class=\"legend\"><span>good</span>";
  for (int shade = 0; shade < 9; ++shade) out += fmt::format("<span class=\"swatch h{}\"></span>", shade);
  return out + fmt::format("<span>bad</span> <span id=\"{}-heat-range\" class=\"muted\"></span></p>\n", context.key);
}

}  // namespace

const std::vector<HeatMap::Measure>& HeatMap::measures() {
  static const std::vector<Measure> list{
      {"ratio", "error / B1 (Theorem 1's bound)", "", true, true},
      {"worst_ratio", "worst error / B1 of one sample", "", true, true},
      {"sqnr", "SQNR", "dB", false, false},
      {"predicted", "error / B3 (the noise estimate)", "", true, true},
      {"estimated", "error / B5 (the estimate with the rows' shape)", "", true, true},
      {"bits", "average bits of a row", "bits", false, false},
      {"share", "energy in the high-bit rows", "share", false, false},
  };
  return list;
}

HeatMap heat_map(const PageContext& context) {
  HeatMap map;
  for (const ReportTrial& t : context.run.source.trials) {
    if (!t.record || t.record->status != "done") continue;
    bool any = false;
    for (const SlotResult& s : t.record->slots) {
      if (s.sums.samples == 0) continue;  // left in full precision
      const SlotPlace place = place_of(s.name);
      index_in(map.layers, place.layer);
      index_in(map.kinds, place.kind);
      any = true;
    }
    if (any) map.trials.push_back(t.id);
  }
  order_layers(map.layers);
  order_kinds(map.kinds);
  const std::size_t measures = HeatMap::measures().size();
  for (const ReportTrial& t : context.run.source.trials) {
    if (std::find(map.trials.begin(), map.trials.end(), t.id) == map.trials.end()) continue;
    auto& all = map.values[t.id];
    all.assign(measures,
               std::vector<std::vector<double>>(map.layers.size(), std::vector<double>(map.kinds.size(), unknown)));
    for (const SlotResult& s : t.record->slots) {
      if (s.sums.samples == 0) continue;
      const SlotPlace place = place_of(s.name);
      const std::size_t layer = index_in(map.layers, place.layer), kind = index_in(map.kinds, place.kind);
      const std::vector<double> values = measured(s);
      for (std::size_t m = 0; m < measures; ++m) all[m][layer][kind] = values[m];
    }
  }
  return map;
}

std::pair<double, double> heat_range(const HeatMap& map, std::size_t measure) {
  const bool log_scale = HeatMap::measures()[measure].log_scale;
  double low = unknown, high = unknown;
  for (const auto& [id, all] : map.values)
    for (const auto& row : all[measure])
      for (double v : row) {
        if (!std::isfinite(v) || (log_scale && v <= 0)) continue;
        if (!(low <= v)) low = v;
        if (!(high >= v)) high = v;
      }
  return std::isnan(low) ? std::pair{0.0, 0.0} : std::pair{low, high};
}

int heat_shade(const HeatMap::Measure& measure, double low, double high, double value) {
  if (std::isnan(value)) return -1;
  const auto scaled = [&](double v) { return measure.log_scale ? std::log(v) : v; };
  double t = 0;
  if (measure.log_scale && value <= 0)
    t = 0;
  else if (std::isinf(value))
    t = value > 0 ? 1 : 0;
  else if (high > low)
    t = (scaled(value) - scaled(low)) / (scaled(high) - scaled(low));
  if (!measure.high_is_bad) t = high > low ? 1 - t : 0;
  return std::clamp(static_cast<int>(9 * t), 0, 8);
}

std::string heat_text(const HeatMap::Measure& measure, double value) {
  if (std::isnan(value)) return "";
  if (!std::isfinite(value)) return value > 0 ? "∞" : "−∞";
  value = std::stod(fmt::format("{:.4g}", value));  // as the script finds it in the page's data
  if (std::string(measure.key) == "sqnr") return fmt::format("{:.1f}", value);
  if (std::string(measure.key) == "bits") return fmt::format("{:.3g}", value);
  if (value != 0 && std::fabs(value) < 1e-3) return fmt::format("{:.1e}", value);
  return fmt::format("{:.3g}", value);
}

std::string heat_part(const PageContext& context) {
  const HeatMap map = heat_map(context);
  if (map.trials.empty())
    return "<p class=\"muted\">No finished trial has records of slots (the metric slot_error makes them).</p>\n";
  const std::string& key = context.key;
  std::string out = fmt::format(
      "<div class=\"heat\" data-run=\"{0}\">\n<div class=\"controls needs-script\"><label>trial <select "
      "id=\"{0}-heat-trial\">",
      key);
  for (const ReportTrial& t : context.run.source.trials)
    if (map.values.contains(t.id))
      out += fmt::format("<option value=\"{}\">{}</option>", html_text(t.id), html_text(trial_name(context, t)));
  out += fmt::format("</select></label> <label>shown <select id=\"{}-heat-measure\">", key);
  const auto& measures = HeatMap::measures();
  for (std::size_t m = 0; m < measures.size(); ++m)
    out += fmt::format("<option value=\"{}\">{}</option>", m, html_text(measures[m].name));
  out += "</select></label></div>\n";

  const auto [low, high] = heat_range(map, 0);
  const ReportTrial* first = nullptr;
  for (const ReportTrial& t : context.run.source.trials)
    if (!first && t.id == map.trials.front()) first = &t;
  out += fmt::format(
      "<div class=\"scroll\"><table class=\"heatmap\" id=\"{}-heat-table\"><caption>{}: {}, by layer and kind of slot. "
      "Arrow keys move between cells.</caption>\n<thead><tr><th scope=\"col\">layer</th>",
      key, html_text(trial_name(context, *first)), html_text(measures[0].name));
  for (const std::string& kind : map.kinds) out += "<th scope=\"col\">" + html_text(kind) + "</th>";
  out += "</tr></thead>\n<tbody>\n";
  const auto& values = map.values.at(map.trials.front())[0];
  for (std::size_t r = 0; r < map.layers.size(); ++r) {
    out += "<tr><th scope=\"row\">" + html_text(map.layers[r]) + "</th>";
    for (std::size_t c = 0; c < map.kinds.size(); ++c) {
      const int shade = heat_shade(measures[0], low, high, values[r][c]);
      const std::string text = heat_text(measures[0], values[r][c]);
      out += fmt::format("<td class=\"{}\" title=\"layer {}, {}: {}\" tabindex=\"{}\">{}</td>",
                         shade < 0 ? "none" : fmt::format("h{}", shade), html_text(map.layers[r]),
                         html_text(map.kinds[c]), text.empty() ? "not measured" : text, r + c == 0 ? 0 : -1, text);
    }
    out += "</tr>\n";
  }
  out += "</tbody></table></div>\n" + legend(context);
  out += fmt::format("<p class=\"readout\" id=\"{}-heat-readout\" aria-live=\"polite\"></p>\n</div>\n", key);
  return out;
}

}  // namespace stamp
