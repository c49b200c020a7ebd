#include "report/page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "report/difference.h"
#include "report/html.h"
#include "report/notes.h"
#include "report/page_overview.h"

namespace stamp {

namespace {

// To four digits, so that a page of a hundred trials stays small.
Json rounded(double v) {
  if (!std::isfinite(v)) return json_number(v);
  return std::stod(fmt::format("{:.4g}", v));
}

Json trial_data(const PageContext& context, const ReportTrial& t) {
  const ReportSource& source = context.run.source;
  Json j{{"id", t.id}, {"state", state_of(t)}, {"name", trial_name(context, t)}};
  Json settings = Json::object();
  for (const std::string& path : context.varied) settings[path] = shown_setting(t, path);
  j["settings"] = std::move(settings);
  if (!t.missing.empty()) j["missing"] = t.missing;
  if (!t.record) return j;
  const Record& r = *t.record;
  j["finished"] = r.finished;
  j["seconds"] = rounded(total_seconds(r));
  j["averages"] = r.averages;
  j["revision"] = r.code.value("revision", Json());
  j["dirty"] = r.code.value("dirty", false);
  if (!r.warnings.empty()) j["warnings"] = r.warnings;
  if (r.failure)
    j["failure"] = {{"kind", r.failure->kind}, {"message", r.failure->message}, {"phase", r.failure->phase}};
  const Metric* m = r.status == "done" ? find_metric(r, source.table.value) : nullptr;
  if (!m) return j;
  j["value"] = json_number(m->value);
  if (m->low && m->high) j["interval"] = {json_number(*m->low), json_number(*m->high)};
  j["n"] = m->n;
  j["protocol"] = m->protocol;
  if (const Metric* fp = find_metric(r, source.table.value + "_fp")) j["full_precision"] = json_number(fp->value);
  j["sees_ahead"] = sees_ahead(r) && !m->leak_free;
  if (const ReportTrial* base = baseline_of(source, t))
    if (const auto d = paired_difference(*base->record, r, source.table.value))
      j["difference"] = {{"to", base->id},
                         {"mean", d->mean},
                         {"low", d->low},
                         {"high", d->high},
                         {"items", d->items},
                         {"unit", item_unit(*m)},
                         {"significant", d->significant()}};
  return j;
}

Json heat_data(const PageContext& context) {
  const HeatMap map = heat_map(context);
  Json j{{"layers", map.layers}, {"kinds", map.kinds}, {"measures", Json::array()}, {"trials", Json::object()}};
  for (std::size_t m = 0; m < HeatMap::measures().size(); ++m) {
    const HeatMap::Measure& measure = HeatMap::measures()[m];
    const auto [low, high] = heat_range(map, m);
    j["measures"].push_back({{"key", measure.key},
                             {"name", measure.name},
                             {"unit", measure.unit},
                             {"log", measure.log_scale},
                             {"high_is_bad", measure.high_is_bad},
                             {"low", low},
                             {"high", high}});
  }
  for (const auto& [id, all] : map.values) {
    Json measures = Json::array();
    for (const auto& layers : all) {
      Json rows = Json::array();
      for (const auto& layer : layers) {
        Json row = Json::array();
        for (double v : layer) row.push_back(std::isnan(v) ? Json() : rounded(v));
        rows.push_back(std::move(row));
      }
      measures.push_back(std::move(rows));
    }
    j["trials"][id] = std::move(measures);
  }
  return j;
}

Json run_data(const PageContext& context) {
  const PageRun& run = context.run;
  const TrialCounts c = trial_counts(run.source);
  Json j{{"key", context.key},
         {"name", run.source.name},
         {"folder", run.folder},
         {"metric", run.source.table.value},
         {"varied", context.varied},
         {"counts",
          {{"done", c.done},
           {"failed", c.failed},
           {"missing", c.missing},
           {"not_run", c.not_run},
           {"excluded", run.source.excluded.size()},
           {"left_out", run.source.left_out}}},
         {"smoke", run.source.smoke},
         {"mixed_protocols", context.mixed()},
         {"notices", run.notices},
         {"notes", reader_notes(run.source, run.source.table.value)},
         {"trials", Json::array()}};
  for (const ReportTrial& t : run.source.trials) j["trials"].push_back(trial_data(context, t));
  j["heat"] = heat_data(context);
  return j;
}

std::string warnings(const PageContext& context, const TrialCounts& c) {
  const PageRun& run = context.run;
  std::string out;
  if (run.source.smoke)
    out += "<div class=\"callout bad\">A smoke run: it shows that everything runs, and nothing else.</div>\n";
  if (c.done == 0)
    out += fmt::format(
        "<div class=\"callout bad\">{}</div>\n",
        c.failed > 0 ? "No trial of this run has finished; all that ran have failed." : "This run has no records.");
  if (!run.notices.empty())
    out += "<div class=\"callout bad\"><b>Damaged lines of records.jsonl, not counted:</b>" + html_list(run.notices) +
           "</div>\n";
  if (!run.no_paper.empty())
    out += fmt::format("<div class=\"callout\"><b>No paper values:</b> {}</div>\n", html_text(run.no_paper));
  if (context.mixed())
    out += fmt::format(
        "<div class=\"callout bad\"><b>Values of {} protocols.</b> They were not measured the same way and must not be "
        "compared; the trials are marked A, B, ... below.</div>\n",
        context.protocols.size());
  if (c.failed > 0 && c.done > 0) {
    std::vector<std::string> lines;
    for (const ReportTrial& t : run.source.trials)
      if (t.record && t.record->failure)
        lines.push_back(fmt::format("{} ({}): {}", trial_name(context, t), t.id, t.record->failure->kind));
    out += "<div class=\"callout\"><b>Failed trials:</b>" + html_list(lines) + "</div>\n";
  }
  return out;
}

Json data_of(const PageRequest& request, const std::vector<PageContext>& contexts, const PageOverview& overview) {
  Json j{{"schema", 1}, {"made", request.made}, {"program", request.program}, {"runs", Json::array()}};
  for (const PageContext& context : contexts) j["runs"].push_back(run_data(context));
  if (contexts.size() > 1) j["overview"] = overview_data(overview);
  return j;
}

std::string section(const PageContext& context, const std::string& id, const std::string& head,
                    const std::string& body) {
  return fmt::format("<section id=\"{0}-{1}\"><h3>{2}</h3>\n{3}</section>\n", context.key, id, head, body);
}

std::string run_html(const PageContext& context) {
  const PageRun& run = context.run;
  const TrialCounts c = trial_counts(run.source);
  std::string out = fmt::format("<article class=\"run\" id=\"{}\"><h2>{}</h2>\n<p class=\"muted\">{}</p>\n",
                                context.key, html_text(run.source.name), html_text(run.folder));
  out += fmt::format("<p class=\"counts\">{}</p>\n", counts_html(c, run.source.excluded.size()));
  out += warnings(context, c);
  out += section(context, "table", "Table", table_part(context));
  out += section(context, "figures", "Figures", figure_part(context));
  out += section(context, "heat", "Error by layer and slot", heat_part(context));
  out += section(context, "trials", "Trials", trials_part(context));
  if (!run.explanations.empty())
    out += section(context, "explained", "Where the transforms sit", explained_part(context));
  out += section(context, "provenance", "Provenance", provenance_part(context));
  return out + "</article>\n";
}

std::string navigation(const std::vector<PageContext>& contexts) {
  std::string out = "<nav aria-label=\"contents\"><ul>";
  if (contexts.size() > 1) out += "<li><a href=\"#overview\">overview</a></li>";
  for (const PageContext& c : contexts) {
    out += fmt::format("<li><a href=\"#{}\">{}</a><ul>", c.key, html_text(c.run.source.name));
    for (const auto& [id, name] : {std::pair{"table", "table"},
                                   {"figures", "figures"},
                                   {"heat", "slots"},
                                   {"trials", "trials"},
                                   {"explained", "transforms"},
                                   {"provenance", "provenance"}})
      if (std::string(id) != "explained" || !c.run.explanations.empty())
        out += fmt::format("<li><a href=\"#{}-{}\">{}</a></li>", c.key, id, name);
    out += "</ul></li>";
  }
  return out + "</ul></nav>\n";
}

// A, B, ..., Z, AA, AB, ...
std::string letter(std::size_t index) {
  std::string out;
  for (std::size_t rest = index + 1; rest > 0; rest = (rest - 1) / 26)
    out.insert(out.begin(), static_cast<char>('A' + (rest - 1) % 26));
  return out;
}

std::string title_of(const PageRequest& request) {
  std::vector<std::string> names;
  for (const PageRun& r : request.runs) names.push_back(r.source.name);
  return join(names, ", ");
}

}  // namespace

std::vector<PageContext> page_contexts(const PageRequest& request) {
  std::vector<PageContext> contexts;
  std::map<std::string, std::string> letters;
  for (const PageRun& run : request.runs) {
    PageContext context{run, fmt::format("r{}", contexts.size()), varied_paths(run.source), {}, false};
    for (const ReportTrial& t : run.source.trials) {
      const Metric* m =
          t.record && t.record->status == "done" ? find_metric(*t.record, run.source.table.value) : nullptr;
      if (!m) continue;
      const auto it = letters.try_emplace(m->protocol, letter(letters.size())).first;
      context.protocols.insert(*it);
    }
    // A sweep over texts or contexts has a protocol for every value of what it varies: meant, not mixed by accident.
    context.meant = std::any_of(context.varied.begin(), context.varied.end(), sets_protocol);
    contexts.push_back(std::move(context));
  }
  return contexts;
}

std::vector<std::string> protocol_notes(const std::map<std::string, std::string>& letters) {
  std::vector<std::pair<std::string, std::string>> all;
  for (const auto& [protocol, name] : letters) all.emplace_back(name, protocol);
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
    return a.first.size() != b.first.size() ? a.first.size() < b.first.size() : a.first < b.first;
  });
  std::vector<std::string> notes;
  for (const auto& [name, protocol] : all)
    notes.push_back(fmt::format("Protocol {}: {}", name, protocol.empty() ? "not stated" : protocol));
  return notes;
}

TrialCounts trial_counts(const ReportSource& source) {
  TrialCounts c;
  for (const ReportTrial& t : source.trials) {
    const std::string state = state_of(t);
    ++(state == "done" ? c.done : state == "failed" ? c.failed : state == "missing" ? c.missing : c.not_run);
  }
  return c;
}

std::string counts_html(const TrialCounts& c, std::size_t excluded) {
  std::string out;
  const auto add = [&](std::size_t n, const char* word, const char* css) {
    if (n > 0) out += fmt::format("<span class=\"state {}\">{} {}</span> ", css, n, word);
  };
  add(c.done, "done", "done");
  add(c.failed, "failed", "failed");
  add(c.missing, "missing", "missing");
  add(c.not_run, "not run", "not-run");
  add(excluded, "excluded", "excluded");
  return out;
}

const char* state_of(const ReportTrial& t) {
  if (t.record) return t.record->status == "done" ? "done" : "failed";
  return t.missing.empty() ? "not run" : "missing";
}

std::string shown_setting(const ReportTrial& t, const std::string& path) {
  static const Json none = Json::object();
  const auto value = setting(t.labels.empty() ? none : t.labels.front(), t.record ? t.record->spec : none, path);
  return value ? setting_text(*value) : "";
}

double total_seconds(const Record& r) {
  if (const auto it = r.timing_s.find("total"); it != r.timing_s.end()) return it->second;
  double sum = 0;
  for (const auto& [phase, seconds] : r.timing_s) sum += seconds;
  return sum;
}

std::string named_value(const std::string& name, const std::string& value) {
  const bool word =
      value.find_first_not_of("0123456789.-+e") != std::string::npos && value != "true" && value != "false";
  return word && !name.ends_with("quantizer") ? value : name + " " + value;
}

std::string trial_name(const PageContext& context, const ReportTrial& t) {
  std::vector<std::string> parts;
  for (const std::string& path : context.varied) {
    const std::string value = shown_setting(t, path);
    if (value.empty()) continue;
    // Options of a method that the trial does not use say nothing of it.
    const std::vector<std::string> keys = split(path, '.');
    const std::string method = shown_setting(t, "quantization.method");
    if (keys.size() == 3 && context.run.source.trials.size() > 1 && t.record &&
        !setting(Json::object(), t.record->spec, path))
      continue;
    parts.push_back(named_value(short_name(path, context.varied), value));
  }
  return parts.empty() ? t.id : join(parts, ", ");
}

std::string explained_part(const PageContext& context) {
  std::string out =
      "<p>One block of the network. Left transforms mix tokens (L), right transforms mix features (R). Costs are "
      "operations of one block as a share of its linear layers.</p>\n";
  bool open = true;
  for (const PageExplanation& e : context.run.explanations) {
    out += fmt::format(
        "<details class=\"explained\"{}><summary>{} <span class=\"muted\">{} trial{}</span></summary>\n{}"
        "<details><summary>The same as text</summary><pre>{}</pre></details></details>\n",
        open ? " open" : "", html_text(e.title), e.trials.size(), e.trials.size() == 1 ? "" : "s", e.svg,
        html_text(e.text));
    open = false;
  }
  return out;
}

Json page_data(const PageRequest& request) {
  const std::vector<PageContext> contexts = page_contexts(request);
  return data_of(request, contexts, page_overview(contexts));
}

std::string report_page(const PageRequest& request) {
  const std::vector<PageContext> contexts = page_contexts(request);
  const PageOverview overview = page_overview(contexts);
  std::string out =
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n"
      // The page needs nothing from anywhere; a damaged record must not be able to change that.
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src "
      "'unsafe-inline'; script-src 'unsafe-inline'\">\n<link rel=\"icon\" href=\"data:,\">\n<title>" +
      html_text(title_of(request)) + "</title>\n<style>\n" + page_style + "</style></head>\n<body>\n";
  out += "<a class=\"skip\" href=\"#main\">to the content</a>\n<header><h1>" + html_text(title_of(request)) +
         "</h1>\n<p class=\"muted\">Made " + html_text(request.made) + " by " + html_text(request.program) +
         ".</p></header>\n" + navigation(contexts) + "<main id=\"main\">\n";
  if (!request.damaged.empty())
    out += "<div class=\"callout bad\"><b>Not on this page, because they cannot be read:</b>" +
           html_list(request.damaged) + "</div>\n";
  out += overview_part(overview);
  for (const PageContext& c : contexts) out += run_html(c);
  out += "</main>\n<script type=\"application/json\" id=\"stamp-data\">" +
         script_json(data_of(request, contexts, overview)) + "</script>\n<script>\n" + page_script +
         "</script>\n</body></html>\n";
  return out;
}

}  // namespace stamp
