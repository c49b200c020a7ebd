// The experiment's table and its provenance as HTML.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/text.h"
#include "report/html.h"
#include "report/page_parts.h"

namespace stamp {

namespace {

const char* cell_state(TableCell::State state) {
  switch (state) {
    case TableCell::State::failed: return "failed";
    case TableCell::State::missing: return "missing";
    case TableCell::State::pending: return "not run";
    case TableCell::State::absent: return "–";
    case TableCell::State::value: break;
  }
  return "";
}

std::string value_cell(const TableCell& c) {
  if (c.state != TableCell::State::value)
    return fmt::format("<td class=\"num {}\">{}</td>", c.state == TableCell::State::failed ? "failed" : "muted",
                       cell_state(c.state));
  std::string text = html_text(value_text(c.value));
  if (c.best) text = "<strong>" + text + "</strong>";
  if (c.sees_ahead) text += "<sup title=\"see the note below: can see ahead\">†</sup>";
  if (c.deviation)
    text += fmt::format(" <span class=\"interval\">± {} ({})</span>", value_text(*c.deviation), c.samples);
  else if (c.low && c.high)
    text += fmt::format(" <span class=\"interval\">[{}, {}]</span>", value_text(*c.low), value_text(*c.high));
  if (c.activation_bits) text += fmt::format(" <span class=\"interval\">A {:.4g}</span>", *c.activation_bits);
  return "<td class=\"num\">" + text + "</td>";
}

std::string difference_cell(const TableCell& c) {
  const std::string text = difference_text(c);
  if (text.empty()) return "<td class=\"num muted\">–</td>";
  return "<td class=\"num\">" + (c.difference->significant() ? "<strong>" + text + "</strong>" : text) + "</td>";
}

std::string paper_cells(const TableCell& c) {
  if (!c.paper) return "<td class=\"num muted\">–</td><td class=\"num muted\">–</td>";
  std::string difference = "–";
  if (c.state == TableCell::State::value) difference = fmt::format("{:+.1f}%", 100 * (c.value / *c.paper - 1));
  return fmt::format("<td class=\"num paper\">{}</td><td class=\"num paper\">{}</td>", value_text(*c.paper),
                     difference);
}

std::string table_html(const Table& t) {
  std::string out = "<div class=\"scroll\"><table class=\"values\"><caption>" + html_text(t.value);
  if (!t.columns_are.empty()) out += ", columns: " + html_text(t.columns_are);
  out += "</caption>\n<thead><tr>";
  for (const std::string& h : t.row_heads) out += "<th scope=\"col\">" + html_text(h) + "</th>";
  for (std::size_t i = 0; i < t.columns.size(); ++i) {
    out += "<th scope=\"col\" class=\"num\">" + html_text(t.columns[i]) + "</th>";
    if (t.with_difference && i != t.baseline)
      out += "<th scope=\"col\" class=\"num\">Δ " + html_text(t.columns[t.baseline]) + "</th>";
    if (t.with_paper)
      out += "<th scope=\"col\" class=\"num\">paper</th><th scope=\"col\" class=\"num\">difference</th>";
  }
  out += "</tr></thead>\n<tbody>\n";
  for (const TableRow& row : t.rows) {
    out += row.reference ? "<tr class=\"reference\">" : "<tr>";
    for (const std::string& l : row.labels) out += "<th scope=\"row\">" + html_text(l) + "</th>";
    for (std::size_t i = 0; i < row.cells.size(); ++i) {
      out += value_cell(row.cells[i]);
      if (t.with_difference && i != t.baseline) out += difference_cell(row.cells[i]);
      if (t.with_paper) out += paper_cells(row.cells[i]);
    }
    out += "</tr>\n";
  }
  return out + "</tbody></table></div>\n";
}

// A column of provenance: distinct values with the number of trials that have them.
std::string distinct(const PageContext& context, std::string (*text)(const Record&)) {
  std::vector<std::pair<std::string, std::size_t>> seen;
  std::size_t all = 0;
  for (const ReportTrial& t : context.run.source.trials) {
    if (!t.record) continue;
    ++all;
    const std::string value = text(*t.record);
    const auto it = std::find_if(seen.begin(), seen.end(), [&](const auto& s) { return s.first == value; });
    if (it == seen.end())
      seen.emplace_back(value, 1);
    else
      ++it->second;
  }
  std::vector<std::string> parts;
  for (const auto& [value, n] : seen)
    if (!value.empty()) parts.push_back(n == all ? value : fmt::format("{} ({} of {} records)", value, n, all));
  return join(parts, "; ");
}

std::string field(const Json& json, const char* name) {
  const auto it = json.find(name);
  return it == json.end() || it->is_null() ? "" : setting_text(*it);
}

std::string pairs(const Json& json) {
  std::vector<std::string> parts;
  if (json.is_object())
    for (const auto& [key, value] : json.items())
      if (!value.is_structured()) parts.push_back(key + " " + setting_text(value));
  return join(parts, ", ");
}

}  // namespace

std::string table_part(const PageContext& context) {
  const PageRun& run = context.run;
  const PaperEntry* paper = run.paper ? &*run.paper : nullptr;
  try {
    const Table table = make_table(run.source, "", paper, true);
    return table_html(table) + html_list(table.notes, "notes");
  } catch (const ConfigError& error) {
    return "<div class=\"callout bad\"><p><b>There is no table.</b></p><pre>" + html_text(error.what()) +
           "</pre></div>\n<p>The trials below are marked with the protocol they were measured by.</p>\n";
  }
}

std::string provenance_part(const PageContext& context) {
  const std::string facts = html_facts({
      {"code", distinct(context,
                        [](const Record& r) {
                          const std::string revision = field(r.code, "revision");
                          if (revision.empty()) return std::string();
                          return revision +
                                 (r.code.value("dirty", false) ? ", DIRTY (sources differ from it)" : ", clean");
                        })},
      {"build",
       distinct(context, [](const Record& r) { return field(r.code, "build") + " " + field(r.code, "compiler"); })},
      {"model", distinct(context,
                         [](const Record& r) {
                           const std::string digest = field(r.model, "digest");
                           return field(r.model, "name") + (digest.empty() ? "" : ", sha256 " + digest);
                         })},
      {"stored types", distinct(context,
                                [](const Record& r) {
                                  const auto it = r.model.find("tensor_types");
                                  return it == r.model.end() ? std::string() : pairs(*it);
                                })},
      {"data", distinct(context,
                        [](const Record& r) {
                          const std::string digest = field(r.data, "digest");
                          return field(r.data, "name") + (digest.empty() ? "" : ", sha256 " + digest);
                        })},
      {"samples", distinct(context,
                           [](const Record& r) {
                             std::vector<std::string> parts;
                             for (const Metric& m : r.metrics)
                               if (m.n > 0 && !m.name.ends_with("_fp"))
                                 parts.push_back(fmt::format("{} over {} {}", m.name, m.n, m.over));
                             return join(parts, ", ");
                           })},
      {"protocols",
       distinct(context, [](const Record& r) { return r.metrics.empty() ? "" : r.metrics.front().protocol; })},
      {"calibration", distinct(context,
                               [](const Record& r) {
                                 const auto it = r.data.find("calibration");
                                 return it == r.data.end() ? std::string() : pairs(*it);
                               })},
      {"seeds", distinct(context, [](const Record& r) { return pairs(r.seeds); })},
      {"machine", distinct(context,
                           [](const Record& r) {
                             const auto it = r.hardware.find("memory_bytes");
                             const bool memory = it != r.hardware.end() && it->is_number_unsigned();
                             return field(r.hardware, "cpu") + ", " + field(r.hardware, "cores") + " cores" +
                                    (memory ? ", " + bytes_text(it->get<std::uint64_t>()) : "");
                           })},
      {"threads", distinct(context, [](const Record& r) { return std::to_string(r.threads) + ", " + r.device; })},
      {"libraries", distinct(context, [](const Record& r) { return pairs(r.libraries); })},
  });
  if (facts.empty()) return "<p class=\"muted\">No records.</p>\n";
  std::string first, last;
  double seconds = 0;
  std::uint64_t memory = 0;
  for (const ReportTrial& t : context.run.source.trials) {
    if (!t.record) continue;
    seconds += total_seconds(*t.record);
    memory = std::max(memory, t.record->peak_memory_bytes);
    if (first.empty() || t.record->finished < first) first = t.record->finished;
    if (t.record->finished > last) last = t.record->finished;
  }
  return facts + html_facts({{"finished", first == last ? first : first + " to " + last},
                             {"time in trials", seconds > 0 ? duration_text(seconds) : ""},
                             {"peak memory", memory > 0 ? bytes_text(memory) : ""}});
}

}  // namespace stamp
