// The table of several runs side by side as HTML and as data.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "report/html.h"
#include "report/page_overview.h"

namespace stamp {

namespace {

using Texts = std::vector<std::string>;

void add_once(Texts& list, const std::string& text) {
  if (std::find(list.begin(), list.end(), text) == list.end()) list.push_back(text);
}

std::string signed_text(double v, bool percent) {
  if (!std::isfinite(v)) return v > 0 ? "+∞" : "–";
  if (!percent) return fmt::format("{:+.3f}", v);
  return std::fabs(v) >= 10 ? fmt::format("{:+.1f}", v) : fmt::format("{:+.2f}", v);
}

std::string change_text(const SideBySide::Change& c, const std::string& unit) {
  std::string out = signed_text(c.value, c.percent);
  if (c.percent)
    out += "%";
  else if (!unit.empty())
    out.append(" ").append(unit);
  return out;
}

std::string value_html(const TableCell& c) {
  switch (c.state) {
    case TableCell::State::value: break;
    case TableCell::State::failed: return data_cell("failed", "", true, "failed");
    case TableCell::State::missing: return data_cell("missing", "", true, "muted");
    case TableCell::State::pending: return data_cell("not run", "", true, "muted");
    case TableCell::State::absent: return data_cell("–", "", true, "muted");
  }
  std::string text = html_text(value_text(c.value));
  if (c.sees_ahead) text += "<sup title=\"see the note below: can see ahead\">†</sup>";
  if (c.deviation)
    text += fmt::format(" <span class=\"interval\">± {} ({})</span>", value_text(*c.deviation), c.samples);
  return data_cell(text, std::isfinite(c.value) ? number_text(c.value) : "", true);
}

std::string change_html(const SideBySide::Cell& c, const std::string& unit) {
  if (!c.change) return data_cell("–", "", true, "muted");
  std::string text = html_text(change_text(*c.change, unit));
  if (c.change->significant) text = fmt::format("<strong>{}</strong>", text);
  if (c.change->low && c.change->high)
    text += fmt::format(" <span class=\"interval\">[{}, {}]</span>", signed_text(*c.change->low, c.change->percent),
                        signed_text(*c.change->high, c.change->percent));
  return data_cell(text, std::isfinite(c.change->value) ? number_text(c.change->value) : "", true);
}

std::string table_html(const PageOverview& overview, const SideBySide& table, const std::string& key) {
  bool settings = false;
  for (const SideBySide::Row& row : table.rows) settings = settings || !row.settings.empty();
  std::vector<PageHead> heads{{"method", "text", ""}, {"transform", "text", ""}};
  if (settings) heads.push_back({"settings", "text", "what else one of the runs varies"});
  Texts methods, transforms;
  for (const SideBySide::Row& row : table.rows) {
    add_once(methods, row.method);
    add_once(transforms, row.transform);
  }
  for (const SideBySide::Column& c : table.columns) {
    const RunPart& part = overview.parts[c.run][c.part];
    const std::string name = html_text(overview.names[c.run]);
    heads.push_back({fmt::format("{}<span class=\"sub\">{}{}{}</span><span class=\"sub\">{}, n = {}</span>", name,
                                 html_text(part.model), part.apart.empty() ? "" : ", ", html_text(part.apart),
                                 part.letter, html_text(items_text(part))),
                     "number", part.protocol});
    heads.push_back({fmt::format("Δ identity<span class=\"sub\">{}</span>", name), "number",
                     "to the identity transform in the same column"});
  }
  std::vector<PageFilter> filters;
  if (methods.size() > 1) filters.push_back({"f-method", "method", 0, methods});
  if (transforms.size() > 1) filters.push_back({"f-transform", "transform", 1, transforms});
  std::string out = fmt::format("<h3 id=\"{}\">{}, run beside run</h3>\n", key, html_text(table.metric));
  out += filter_controls(key, filters);
  out += fmt::format(
      "<div class=\"scroll\"><table class=\"trials beside\" id=\"{0}-table\" data-controls=\"{0}\" "
      "data-noun=\"rows\"><caption>{1} by method and transform</caption>\n",
      key, html_text(table.metric));
  out += head_row(heads) + "<tbody>\n";
  const auto full_precision = [](const SideBySide::Column& c) { return c.full_precision.has_value(); };
  if (std::any_of(table.columns.begin(), table.columns.end(), full_precision)) {
    out += "<tr class=\"reference\">";
    out += data_cell("fp", "fp", false) + data_cell("", "", false);
    if (settings) out += data_cell("", "", false);
    for (const SideBySide::Column& c : table.columns) {
      out += c.full_precision
                 ? data_cell(html_text(value_text(*c.full_precision)), number_text(*c.full_precision), true)
                 : data_cell("–", "", true, "muted");
      out += data_cell("", "", true);
    }
    out += "</tr>\n";
  }
  for (const SideBySide::Row& row : table.rows) {
    out += "<tr>";
    out += data_cell(html_text(row.method), row.method, false);
    out += data_cell(html_text(row.transform), row.transform, false);
    if (settings) out += data_cell(html_text(row.settings), row.settings, false);
    for (const SideBySide::Cell& c : row.cells) out += value_html(c.cell) + change_html(c, table.unit);
    out += "</tr>\n";
  }
  return out + "</tbody></table></div>\n" + html_list(table.notes, "notes");
}

const char* state_text(TableCell::State state) {
  switch (state) {
    case TableCell::State::value: return "done";
    case TableCell::State::failed: return "failed";
    case TableCell::State::missing: return "missing";
    case TableCell::State::pending: return "not run";
    case TableCell::State::absent: break;
  }
  return "absent";
}

Json cell_data(const SideBySide::Cell& c) {
  Json j{{"state", state_text(c.cell.state)}};
  if (c.cell.state == TableCell::State::absent) return j;
  j["ids"] = c.cell.ids;
  if (c.cell.state != TableCell::State::value) return j;
  j["value"] = json_number(c.cell.value);
  j["sees_ahead"] = c.cell.sees_ahead;
  if (!c.change) return j;
  Json change{{"value", json_number(c.change->value)}, {"unit", c.change->percent ? "%" : ""}};
  if (c.change->low && c.change->high) {
    change["low"] = json_number(*c.change->low);
    change["high"] = json_number(*c.change->high);
    change["significant"] = c.change->significant;
  }
  j["change"] = std::move(change);
  return j;
}

}  // namespace

std::string side_by_side_part(const PageOverview& overview) {
  std::string out;
  for (std::size_t i = 0; i < overview.tables.size(); ++i)
    out += table_html(overview, overview.tables[i], fmt::format("beside{}", i));
  return out;
}

Json side_by_side_data(const PageOverview& overview) {
  Json out = Json::array();
  for (const SideBySide& table : overview.tables) {
    Json j{{"metric", table.metric}, {"columns", Json::array()}, {"rows", Json::array()}, {"notes", table.notes}};
    for (const SideBySide::Column& c : table.columns) {
      const RunPart& part = overview.parts[c.run][c.part];
      j["columns"].push_back(
          {{"run", overview.contexts[c.run].key}, {"model", part.model}, {"letter", part.letter}, {"n", part.items}});
      if (c.full_precision) j["columns"].back()["full_precision"] = json_number(*c.full_precision);
    }
    for (const SideBySide::Row& row : table.rows) {
      Json cells = Json::array();
      for (const SideBySide::Cell& c : row.cells) cells.push_back(cell_data(c));
      j["rows"].push_back({{"method", row.method},
                           {"transform", row.transform},
                           {"settings", row.settings},
                           {"cells", std::move(cells)}});
    }
    out.push_back(std::move(j));
  }
  return out;
}

}  // namespace stamp
