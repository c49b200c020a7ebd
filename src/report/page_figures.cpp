// Figures that the page draws itself, as SVG whose colours are the style sheet's: values with intervals, and energy by
// transformed row. Methods have one colour in all figures, transforms a marker and a line style, so that a grey print
// can be read.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "base/text.h"
#include "report/html.h"
#include "report/page_parts.h"
#include "report/table.h"

namespace stamp {

namespace {

struct PlotAxis {
  double low = 0, high = 1;  // of values
  bool log_scale = false;
  double from = 0, to = 1;  // pixels
  double at(double v) const {
    if (log_scale) v = std::log(v);
    const double l = log_scale ? std::log(low) : low, h = log_scale ? std::log(high) : high;
    return from + (to - from) * (h > l ? (v - l) / (h - l) : 0.5);
  }
  std::vector<double> ticks() const;
};

std::vector<double> PlotAxis::ticks() const {
  std::vector<double> out;
  if (log_scale) {
    const bool wide = std::log10(high / low) > 2.5;
    for (double decade = std::pow(10, std::floor(std::log10(low))); decade <= high; decade *= 10)
      for (double step : {1.0, 2.0, 5.0})
        if ((!wide || step == 1) && decade * step >= low * 0.999 && decade * step <= high * 1.001)
          out.push_back(decade * step);
    return out;
  }
  const double raw = (high - low) / 6, power = std::pow(10, std::floor(std::log10(raw > 0 ? raw : 1)));
  const double step = power * (raw / power < 1.5 ? 1 : raw / power < 3.5 ? 2 : raw / power < 7.5 ? 5 : 10);
  for (double v = std::ceil(low / step) * step; v <= high + step / 1e6; v += step)
    out.push_back(std::fabs(v) < step / 1e6 ? 0 : v);
  return out;
}

std::string tick_text(double v) {
  const double a = std::fabs(v);
  if (a >= 1e5 || (a > 0 && a < 1e-3)) return fmt::format("{:.0e}", v);
  return number_text(std::stod(fmt::format("{:.6g}", v)));
}

// Shape of a transform's marker around (x, y).
std::string marker(const std::string& transform, double x, double y) {
  const auto polygon = [&](std::initializer_list<std::pair<double, double>> points) {
    std::string list;
    for (const auto& [dx, dy] : points) list += fmt::format("{:.1f},{:.1f} ", x + dx, y + dy);
    return "<polygon class=\"mark\" points=\"" + list + "\"/>";
  };
  if (transform == "haar" || transform == "haar2d")
    return polygon({{-4.2, -4.2}, {4.2, -4.2}, {4.2, 4.2}, {-4.2, 4.2}});
  if (transform == "dct" || transform == "dct2d") return polygon({{0, -5.2}, {5, 4}, {-5, 4}});
  if (transform == "wht") return polygon({{0, -5.6}, {5.6, 0}, {0, 5.6}, {-5.6, 0}});
  if (transform == "klt") return polygon({{0, 5.2}, {5, -4}, {-5, -4}});
  if (transform.empty() || transform == "identity")
    return fmt::format("<circle class=\"mark\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4.6\"/>", x, y);
  return polygon(
      {{-2, -5}, {2, -5}, {2, -2}, {5, -2}, {5, 2}, {2, 2}, {2, 5}, {-2, 5}, {-2, 2}, {-5, 2}, {-5, -2}, {-2, -2}});
}

std::string text(double x, double y, const std::string& content, const std::string& css, const char* anchor = "start") {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" class=\"{}\" text-anchor=\"{}\">{}</text>\n", x, y, css, anchor,
                     html_text(content));
}

std::string line(double x1, double y1, double x2, double y2, const std::string& css) {
  return fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" class=\"{}\"/>\n", x1, y1, x2, y2,
                     css);
}

std::string svg(double width, double height, const std::string& name, const std::string& description,
                const std::string& content) {
  return fmt::format(
      "<svg class=\"figure\" viewBox=\"0 0 {0:.0f} {1:.0f}\" width=\"{0:.0f}\" height=\"{1:.0f}\" role=\"img\" "
      "aria-label=\"{2}\"><title>{3}</title>\n{4}</svg>\n",
      width, height, html_text(description), html_text(name), content);
}

struct Value {
  std::string name, method, transform, id;
  double value = 0;
  std::optional<double> low, high;
};

std::string shortened(const std::string& name, std::size_t most) {
  return name.size() <= most ? name : name.substr(0, most - 1) + "…";
}

}  // namespace

int method_colour(const std::string& method) {
  // The hues of scripts/plot_looks.py, so that a method has one colour in the page's figures and in those taken in.
  static const std::vector<std::string> known{"rtn",      "smoothquant", "quarot",    "hadanorm",
                                              "svdquant", "viditq",      "spinquant", "flatquant"};
  const auto it = std::find(known.begin(), known.end(), method);
  if (it != known.end()) return static_cast<int>(it - known.begin());
  return method.empty() || method == "fp" ? 9 : 8;
}

std::string value_figure(const PageContext& context) {
  const std::string& metric = context.run.source.table.value;
  std::vector<Value> values;
  constexpr double none = std::numeric_limits<double>::quiet_NaN();
  double reference = none;
  std::set<std::int64_t> counts;
  std::string over, unit, protocol;
  bool several_references = false;
  for (const ReportTrial& t : context.run.source.trials) {
    const Metric* m = t.record && t.record->status == "done" ? find_metric(*t.record, metric) : nullptr;
    if (!m || !std::isfinite(m->value)) continue;
    values.push_back({trial_name(context, t), shown_setting(t, "quantization.method"),
                      shown_setting(t, "quantization.sequence.transform"), t.id, m->value, m->low, m->high});
    counts.insert(m->n);
    over = m->over;
    unit = m->unit;
    protocol = m->protocol;
    if (const Metric* fp = find_metric(*t.record, metric + "_fp"); fp && std::isfinite(fp->value)) {
      several_references =
          several_references || std::fabs(reference - fp->value) > 1e-6 * fp->value;  // not at the first
      reference = fp->value;
    }
  }
  if (values.empty() || context.mixed()) return "";
  if (several_references) reference = none;
  double low = std::numeric_limits<double>::infinity(), high = -low;
  bool intervals = false;
  const auto widen = [&](double v) {
    if (!std::isfinite(v)) return;
    low = std::min(low, v);
    high = std::max(high, v);
  };
  for (const Value& v : values) {
    widen(v.value);
    if (v.low && v.high) {
      widen(*v.low);
      widen(*v.high);
      intervals = true;
    }
  }
  widen(reference);
  std::size_t longest = 12;
  for (const Value& v : values) longest = std::max(longest, std::min<std::size_t>(v.name.size(), 44));
  const double left = 16 + 7.0 * static_cast<double>(longest), width = std::max(760.0, left + 480), row = 20, top = 16;
  const double bottom = top + row * static_cast<double>(values.size());
  PlotAxis x;
  x.log_scale = low > 0 && high / low > 3;
  if (x.log_scale) {
    x.low = low / std::pow(high / low, 0.04);
    x.high = high * std::pow(high / low, 0.04);
  } else {
    const double pad = high > low ? 0.05 * (high - low) : std::max(std::fabs(high), 1.0) * 0.05;
    x.low = low - pad;
    x.high = high + pad;
  }
  x.from = left;
  x.to = width - 74;
  std::string out;
  for (double t : x.ticks()) {
    out += line(x.at(t), top, x.at(t), bottom, "grid");
    out += text(x.at(t), bottom + 15, tick_text(t), "tick", "middle");
  }
  out += line(left, bottom, x.to, bottom, "axis");
  if (std::isfinite(reference)) {
    out += line(x.at(reference), top - 6, x.at(reference), bottom, "reference-line");
    out += text(x.at(reference) + 4, top - 5, "full precision " + value_text(reference), "tick");
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Value& v = values[i];
    const double y = top + row * (static_cast<double>(i) + 0.5);
    if (i > 0 && v.method != values[i - 1].method) out += line(8, y - row / 2, x.to, y - row / 2, "separator");
    out += fmt::format("<g class=\"m{}\"><title>{}</title>\n", method_colour(v.method),
                       html_text(fmt::format("{} ({}): {} {}", v.name, v.id, metric, value_text(v.value))));
    out += text(left - 8, y + 4, shortened(v.name, 44), "label", "end");
    if (v.low && v.high && std::isfinite(*v.low) && std::isfinite(*v.high) && (!x.log_scale || *v.low > 0)) {
      out += line(x.at(*v.low), y, x.at(*v.high), y, "interval-line");
      for (double end : {*v.low, *v.high}) out += line(x.at(end), y - 4, x.at(end), y + 4, "interval-line");
    }
    out += marker(v.transform, x.at(v.value), y) + "\n";
    out += text(x.to + 8, y + 4, value_text(v.value), "number");
    out += "</g>\n";
  }
  std::string n = fmt::format("{}", *counts.begin());
  if (counts.size() > 1) n += fmt::format(" to {}", *counts.rbegin());
  const std::string label =
      fmt::format("{}{}{}, n = {} {}{}", metric, unit.empty() ? "" : " (" + unit + ")",
                  x.log_scale ? ", logarithmic" : "", n, over, intervals ? ", bars: 95% interval" : "");
  out += text((left + x.to) / 2, bottom + 33, label, "axis-label", "middle");
  return svg(width, bottom + 42, metric + " of every trial", metric + " of every trial; the table has the numbers",
             out);
}

namespace {

// Rows that may fall or rise by many powers of ten: both axes are logarithmic, the first row stands at 1.
struct Curve {
  std::string method, transform;
  std::vector<std::pair<double, double>> points = {};  // row, energy relative to the mean row
  std::size_t slots = 0;                               // that went into it
  std::int64_t samples = 0;                            // of each, at most
};

// Mean over the linear inputs of a trial with the most common number of rows.
std::optional<Curve> curve_of(const ReportTrial& t) {
  std::map<std::vector<std::int64_t>, std::pair<std::size_t, std::vector<double>>> groups;
  std::int64_t samples = 0;
  for (const SlotResult& s : t.record->slots) {
    const auto rows = s.rows();
    if (s.kind != "linear input" || !rows || rows->edges.size() < 3) continue;
    double total = 0;
    for (std::size_t i = 0; i + 1 < rows->edges.size(); ++i)
      total += rows->energy[i] * static_cast<double>(rows->edges[i + 1] - rows->edges[i]);
    const double mean = total / static_cast<double>(rows->edges.back());
    if (!(mean > 0)) continue;
    samples = std::max(samples, s.sums.samples);
    auto& [n, sums] = groups[rows->edges];
    sums.resize(rows->energy.size(), 0);
    ++n;
    for (std::size_t i = 0; i < rows->energy.size(); ++i) sums[i] += rows->energy[i] / mean;
  }
  if (groups.empty()) return std::nullopt;
  const auto most = std::max_element(groups.begin(), groups.end(),
                                     [](const auto& a, const auto& b) { return a.second.first < b.second.first; });
  Curve curve{shown_setting(t, "quantization.method"), shown_setting(t, "quantization.sequence.transform")};
  const auto& [n, sums] = most->second;
  curve.slots = n;
  curve.samples = samples;
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const double row = 0.5 * static_cast<double>(most->first[i] + most->first[i + 1] + 1);  // from 1
    const double energy = sums[i] / static_cast<double>(n);
    if (energy > 0) curve.points.emplace_back(row, energy);
  }
  return curve;
}

}  // namespace

std::string energy_figure(const PageContext& context) {
  // One method, the first with the most transforms: how far a transform gathers energy does not need them all.
  std::vector<Curve> curves;
  std::map<std::string, std::vector<Curve>> by_method;
  std::vector<std::string> methods;
  for (const ReportTrial& t : context.run.source.trials) {
    if (!t.record || t.record->status != "done") continue;
    auto curve = curve_of(t);
    if (!curve) continue;
    if (!by_method.contains(curve->method)) methods.push_back(curve->method);
    auto& known = by_method[curve->method];
    if (std::none_of(known.begin(), known.end(), [&](const Curve& c) { return c.transform == curve->transform; }))
      known.push_back(std::move(*curve));
  }
  for (const std::string& m : methods)
    if (by_method[m].size() > curves.size()) curves = by_method[m];
  if (curves.empty()) return "";
  double low = std::numeric_limits<double>::infinity(), high = 0, rows = 2;
  for (const Curve& c : curves)
    for (const auto& [row, energy] : c.points) {
      low = std::min(low, energy);
      high = std::max(high, energy);
      rows = std::max(rows, row);
    }
  const double left = 78, top = 14, bottom = 300, width = 760;
  PlotAxis x, y;
  x.log_scale = y.log_scale = true;
  x.low = 1;
  x.high = rows;
  x.from = left;
  x.to = width - 120;
  y.low = low / 1.3;
  y.high = high * 1.3;
  y.from = bottom;
  y.to = top;
  std::string out;
  for (double t : x.ticks()) {
    out += line(x.at(t), top, x.at(t), bottom, "grid");
    out += text(x.at(t), bottom + 15, tick_text(t), "tick", "middle");
  }
  for (double t : y.ticks()) {
    out += line(left, y.at(t), x.to, y.at(t), "grid");
    out += text(left - 6, y.at(t) + 4, tick_text(t), "tick", "end");
  }
  out += line(left, bottom, x.to, bottom, "axis") + line(left, top, left, bottom, "axis");
  static const char* dashes[] = {"", "7 4", "2 3", "9 3 2 3", "5 2 1 2 1 2", "1 4", "12 4"};
  for (std::size_t i = 0; i < curves.size(); ++i) {
    const Curve& c = curves[i];
    std::string points;
    for (const auto& [row, energy] : c.points) points += fmt::format("{:.1f},{:.1f} ", x.at(row), y.at(energy));
    out += fmt::format("<g class=\"m{}\"><polyline class=\"curve\" stroke-dasharray=\"{}\" points=\"{}\"/>\n",
                       method_colour(c.method), dashes[i % 7], points);
    for (std::size_t p = i % 5; p < c.points.size(); p += 6)
      out += marker(c.transform, x.at(c.points[p].first), y.at(c.points[p].second)) + "\n";
    const double ly = top + 12 + 20 * static_cast<double>(i);
    out += fmt::format(
        "<line x1=\"{0:.0f}\" y1=\"{2:.0f}\" x2=\"{1:.0f}\" y2=\"{2:.0f}\" class=\"curve\" "
        "stroke-dasharray=\"{3}\"/>\n",
        x.to + 10, x.to + 38, ly, dashes[i % 7]);
    out += marker(c.transform, x.to + 24, ly) +
           text(x.to + 44, ly + 4, c.transform.empty() ? "none" : c.transform, "label");
    out += "</g>\n";
  }
  out += text((left + x.to) / 2, bottom + 33, "transformed row, from 1, logarithmic", "axis-label", "middle");
  out += fmt::format(
      "<text class=\"axis-label\" text-anchor=\"middle\" transform=\"translate(16 {:.0f}) rotate(-90)\">"
      "energy of a row / mean row</text>\n",
      (top + bottom) / 2);
  const Curve& first = curves.front();
  const std::string samples = first.samples > 0 ? fmt::format(", {} samples of each", first.samples) : "";
  return svg(width, bottom + 42, "Energy by transformed row",
             fmt::format("Energy by transformed row, mean over the linear inputs of {}", curves.front().method), out) +
         fmt::format("<p class=\"muted\">Mean over {} linear inputs{}, of one trial a transform; method {}.</p>\n",
                     first.slots, samples, html_text(first.method.empty() ? "none" : first.method));
}

std::string figure_part(const PageContext& context) {
  std::string out;
  if (const std::string figure = value_figure(context); !figure.empty())
    out += "<figure>" + figure + "<figcaption>" + html_text(context.run.source.table.value) +
           " of every trial. Colour: method; marker: transform along the sequence.</figcaption></figure>\n";
  if (const std::string figure = energy_figure(context); !figure.empty())
    out += "<figure>" + figure +
           "<figcaption>How far each transform gathers energy in its first rows.</figcaption></figure>\n";
  for (const PageFigure& f : context.run.figures)
    out += fmt::format(
        "<figure class=\"drawn\"><img src=\"{}\" alt=\"{}\" loading=\"lazy\"><figcaption>{}, as stamp plot drew "
        "it.</figcaption></figure>\n",
        data_uri(f.bytes, f.mime), html_text("figure " + f.name), html_text(f.name));
  if (const auto& stale = context.run.stale_figures; !stale.empty())
    out += fmt::format(
        "<div class=\"callout\"><b>Left out:</b> {}. Drawn for other records than these; <code>stamp plot {}</code> "
        "draws "
        "them again.</div>\n",
        html_text(join(stale, ", ")), html_text(context.run.folder));
  return out.empty() ? "<p class=\"muted\">Nothing to draw: no finished trial has a value.</p>\n" : out;
}

}  // namespace stamp
