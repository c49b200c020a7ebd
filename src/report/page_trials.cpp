// The table of all trials, with what a filter and a sort need in attributes, and one fold-out of details a trial.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/text.h"
#include "report/difference.h"
#include "report/html.h"
#include "report/page_parts.h"
#include "report/table.h"

namespace stamp {

namespace {

std::string number_cell(const std::optional<double>& v, const std::string& text) {
  return data_cell(v ? html_text(text) : "", v ? number_text(*v) : "", true);
}

std::optional<double> average(const Record& r, const char* key) {
  const auto it = r.averages.find(key);
  if (it == r.averages.end() || !it->is_number()) return std::nullopt;
  return it->get<double>();
}

std::string bits_text(const std::optional<double>& v) {
  return v ? fmt::format("{:.4g}", *v) : "";
}

std::string note_of(const ReportTrial& t) {
  if (!t.record) return t.missing;
  if (t.record->failure) return t.record->failure->kind + ": " + t.record->failure->message;
  if (t.record->warnings.empty()) return "";
  return fmt::format("{} warning{}", t.record->warnings.size(), t.record->warnings.size() == 1 ? "" : "s");
}

std::string difference_text(const PairedDifference& d) {
  const std::string text = fmt::format("{:+.3f} [{:+.3f}, {:+.3f}]", d.mean, d.low, d.high);
  return d.significant() ? "<strong>" + text + "</strong>" : text;
}

std::string row(const PageContext& context, const ReportTrial& t) {
  const ReportSource& source = context.run.source;
  const Record* r = t.record ? &*t.record : nullptr;
  const Metric* m = r && r->status == "done" ? find_metric(*r, source.table.value) : nullptr;
  const std::string state = state_of(t);
  std::string out = fmt::format("<tr data-state=\"{}\">", state);
  out += fmt::format("<td data-key=\"{0}\"><a href=\"#{1}-t-{2}\"><code>{0}</code></a></td>", html_text(t.id),
                     context.key, html_id(t.id));
  out += data_cell(fmt::format("<span class=\"state {}\">{}</span>", html_id(state), state), state, false);
  for (const std::string& path : context.varied) {
    const std::string value = shown_setting(t, path);
    const bool numeric = !value.empty() && value.find_first_not_of("0123456789.-+e") == std::string::npos;
    out += data_cell(html_text(value), value, numeric);
  }
  if (m)
    out += data_cell(
        html_text(value_text(m->value)) + (m->low && m->high ? fmt::format(" <span class=\"interval\">[{}, {}]</span>",
                                                                           value_text(*m->low), value_text(*m->high))
                                                             : ""),
        number_text(m->value), true);
  else
    out += data_cell("", "", true);
  const ReportTrial* base = m ? baseline_of(source, t) : nullptr;
  const auto d = base ? paired_difference(*base->record, *r, source.table.value) : std::nullopt;
  out += d ? data_cell(difference_text(*d), number_text(d->mean), true) : data_cell("", "", true);
  if (context.mixed())
    out += data_cell(m ? context.protocols.at(m->protocol) : "", m ? context.protocols.at(m->protocol) : "", false);
  const auto a = r ? average(*r, "activation_bits") : std::nullopt, kv = r ? average(*r, "kv_bits") : std::nullopt,
             w = r ? average(*r, "weight_bits") : std::nullopt;
  out += number_cell(w, bits_text(w)) + number_cell(a, bits_text(a)) + number_cell(kv, bits_text(kv));
  const double seconds = r ? total_seconds(*r) : 0;
  out += number_cell(seconds > 0 ? std::optional(seconds) : std::nullopt, duration_text(seconds));
  out += number_cell(
      r && r->peak_memory_bytes > 0 ? std::optional(static_cast<double>(r->peak_memory_bytes)) : std::nullopt,
      r ? bytes_text(r->peak_memory_bytes) : "");
  out += data_cell(r ? html_text(r->finished) : "", r ? r->finished : "", false);
  std::string note = note_of(t);
  std::replace(note.begin(), note.end(), '\n', ' ');
  const std::string shown = note.size() > 120 ? note.substr(0, 117) + "..." : note;
  out += fmt::format("<td class=\"note\" title=\"{}\" data-key=\"{}\">{}</td>", html_text(note), html_text(shown),
                     html_text(shown));
  return out + "</tr>\n";
}

std::string metrics_table(const Record& r) {
  if (r.metrics.empty()) return "";
  std::string out =
      "<table class=\"values\"><thead><tr><th scope=\"col\">metric</th><th scope=\"col\" class=\"num\">value</th>"
      "<th scope=\"col\">95% interval</th><th scope=\"col\">over</th><th "
      "scope=\"col\">protocol</th></tr></thead><tbody>\n";
  for (const Metric& m : r.metrics)
    out += fmt::format(
        "<tr><th scope=\"row\">{}</th><td class=\"num\">{}{}</td><td>{}</td><td>{} {}</td><td>{}</td></tr>\n",
        html_text(m.name), value_text(m.value), m.unit.empty() ? "" : fmt::format(" {}", html_text(m.unit)),
        m.low && m.high ? fmt::format("[{}, {}]", value_text(*m.low), value_text(*m.high)) : "–", m.n,
        html_text(m.over), html_text(m.protocol));
  return out + "</tbody></table>\n";
}

// Settings that are the same in all trials stand once, above.
std::set<std::string> shared_settings(const PageContext& context) {
  std::set<std::string> shared;
  std::map<std::string, std::string> first;
  std::map<std::string, std::size_t> same;
  std::size_t records = 0;
  for (const ReportTrial& t : context.run.source.trials) {
    if (!t.record) continue;
    ++records;
    for (const auto& [path, value] : flatten(t.record->spec)) {
      const auto [it, fresh] = first.try_emplace(path, setting_text(value));
      if (fresh || it->second == setting_text(value)) ++same[path];
    }
  }
  for (const auto& [path, n] : same)
    if (n == records && records > 1) shared.insert(path);
  return shared;
}

std::string details(const PageContext& context, const ReportTrial& t, const std::set<std::string>& shared) {
  std::string out = fmt::format(
      "<details class=\"trial\" id=\"{}-t-{}\"><summary><code>{}</code> {} <span class=\"state "
      "{}\">{}</span></summary>\n",
      context.key, html_id(t.id), html_text(t.id), html_text(trial_name(context, t)), html_id(state_of(t)),
      state_of(t));
  if (!t.missing.empty() && !t.record) out += "<p>" + html_text(t.missing) + "</p>\n";
  if (t.labels.size() > 1) out += fmt::format("<p>Stands in {} places of the sweep.</p>\n", t.labels.size());
  if (!t.record) return out + "</details>\n";
  const Record& r = *t.record;
  if (r.failure)
    out += fmt::format("<div class=\"callout bad\"><b>{}</b> in phase {}<pre>{}</pre></div>\n",
                       html_text(r.failure->kind), html_text(r.failure->phase), html_text(r.failure->message));
  if (!r.warnings.empty()) out += "<p>Warnings:</p>" + html_list(r.warnings);
  out += metrics_table(r);
  std::vector<std::pair<std::string, std::string>> own, times;
  for (const auto& [path, value] : flatten(r.spec))
    if (!shared.contains(path)) own.emplace_back(path, setting_text(value));
  for (const auto& [phase, seconds] : r.timing_s) times.emplace_back("time: " + phase, duration_text(seconds));
  own.insert(own.end(), times.begin(), times.end());
  if (const auto it = r.bound.find("worst_slot"); it != r.bound.end() && it->is_string())
    own.emplace_back("worst slot against B1",
                     it->get<std::string>() + ", " + setting_text(r.bound.value("worst_ratio", Json("unknown"))));
  return out + html_facts(own) + "</details>\n";
}

std::string filters(const PageContext& context) {
  std::vector<PageFilter> all;
  const auto distinct = [&](auto&& value_of) {
    std::vector<std::string> values;
    for (const ReportTrial& t : context.run.source.trials) {
      const std::string v = value_of(t);
      if (!v.empty() && std::find(values.begin(), values.end(), v) == values.end()) values.push_back(v);
    }
    return values;
  };
  const auto states = distinct([](const ReportTrial& t) { return std::string(state_of(t)); });
  if (states.size() > 1) all.push_back({"f-state", "state", 1, states});
  for (std::size_t i = 0; i < context.varied.size(); ++i) {
    const std::string& path = context.varied[i];
    const auto values = distinct([&](const ReportTrial& t) { return shown_setting(t, path); });
    if (values.size() > 1 && values.size() <= 24)
      all.push_back({fmt::format("f{}", i), short_name(path, context.varied), 2 + i, values});
  }
  return filter_controls(context.key, all);
}

}  // namespace

std::string head_row(const std::vector<PageHead>& heads) {
  std::string out = "<thead><tr>";
  for (const PageHead& h : heads)
    out += fmt::format("<th scope=\"col\" data-type=\"{}\"{}>{}</th>", h.type,
                       h.help.empty() ? "" : fmt::format(" title=\"{}\"", html_text(h.help)), h.html);
  return out.append("</tr></thead>\n");
}

std::string data_cell(const std::string& html, const std::string& key, bool numeric, const std::string& css) {
  std::string classes = numeric ? "num" : "";
  if (!css.empty()) classes += (classes.empty() ? "" : " ") + css;
  return fmt::format("<td{} data-key=\"{}\">{}</td>", classes.empty() ? "" : fmt::format(" class=\"{}\"", classes),
                     html_text(key), html);
}

std::string filter_controls(const std::string& key, const std::vector<PageFilter>& filters) {
  std::string out = fmt::format(
      "<div class=\"controls needs-script\" role=\"search\"><label>search <input type=\"search\" id=\"{}-filter\" "
      "placeholder=\"any text of a row\"></label>",
      key);
  for (const PageFilter& f : filters) {
    out += fmt::format(" <label>{} <select id=\"{}-{}\" data-column=\"{}\"><option value=\"\">all</option>",
                       html_text(f.label), key, f.id, f.column);
    for (const std::string& v : f.values) out += fmt::format("<option>{}</option>", html_text(v));
    out += "</select></label>";
  }
  return out + fmt::format(
                   " <button type=\"button\" id=\"{0}-clear\">clear</button> <span class=\"muted\" "
                   "id=\"{0}-count\" aria-live=\"polite\"></span></div>\n",
                   key);
}

std::string trials_part(const PageContext& context) {
  const ReportSource& source = context.run.source;
  if (source.trials.empty()) return "<p class=\"muted\">The plan has no trial.</p>\n";
  std::vector<PageHead> heads{{"trial", "text", "the trial's id"}, {"state", "text", ""}};
  for (const std::string& path : context.varied)
    heads.push_back({html_text(short_name(path, context.varied)), "auto", path});
  heads.push_back({html_text(source.table.value), "number", "with its 95% interval where there is one"});
  const bool loss = source.table.value.find("perplexity") != std::string::npos;
  heads.push_back({loss ? "Δ baseline (nats)" : "Δ baseline", "number",
                   "mean over the items of the difference to the baseline, with its paired 95% interval"});
  if (context.mixed()) heads.push_back({"protocol", "text", "see below"});
  for (const char* h : {"W bits", "A bits", "KV bits"}) heads.push_back({h, "number", "average, without scales"});
  heads.push_back({"time", "number", "seconds in all phases"});
  heads.push_back({"memory", "number", "peak of the process"});
  heads.push_back({"finished", "text", ""});
  heads.push_back({"note", "text", ""});

  std::string out = filters(context);
  out += fmt::format(
      "<div class=\"scroll\"><table class=\"trials\" id=\"{0}-trials-table\" data-controls=\"{0}\" "
      "data-noun=\"trials\">"
      "<caption>{1} trials</caption>\n",
      context.key, source.trials.size());
  out += head_row(heads) + "<tbody>\n";
  for (const ReportTrial& t : source.trials) out += row(context, t);
  out += "</tbody></table></div>\n";

  std::vector<std::string> notes;
  if (!source.table.columns.empty())
    notes.push_back(fmt::format(
        "Δ baseline: the trial against the one of the same row whose {} is identity (or, without such a column, the "
        "first): mean over the items of the difference{}, paired 95% interval (Student t); bold where it excludes 0.",
        join(source.table.columns, ", "), loss ? " of the windows' mean losses in nats per token" : ""));
  if (context.mixed())
    for (const std::string& note : protocol_notes(context.protocols)) notes.push_back(note);
  out += html_list(notes, "notes");

  const std::set<std::string> shared = shared_settings(context);
  std::vector<std::pair<std::string, std::string>> common;
  for (const ReportTrial& t : source.trials) {
    if (!t.record) continue;
    for (const auto& [path, value] : flatten(t.record->spec))
      if (shared.contains(path)) common.emplace_back(path, setting_text(value));
    break;
  }
  if (!common.empty())
    out += "<details><summary>Settings that all trials share</summary>\n" + html_facts(common) + "</details>\n";
  out += "<h4>Details of every trial</h4>\n";
  for (const ReportTrial& t : source.trials) out += details(context, t, shared);
  if (!source.excluded.empty()) {
    std::vector<std::string> lines;
    for (const ReportSource::Excluded& x : source.excluded) {
      std::vector<std::string> parts;
      for (const auto& [path, value] : x.labels.items()) parts.push_back(setting_text(value));
      lines.push_back(join(parts, ", ") + ": " + x.because);
    }
    out += fmt::format("<details><summary>{} excluded cells, with the reason</summary>\n{}</details>\n", lines.size(),
                       html_list(lines));
  }
  return out;
}

}  // namespace stamp
