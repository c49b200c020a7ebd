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

struct Head {
  std::string text, type;  // type: text or number, how it sorts
  std::string help;
};

// A cell with the key it sorts by; an empty key sorts last.
std::string cell(const std::string& html, const std::string& key, bool numeric, const std::string& css = "") {
  std::string classes = numeric ? "num" : "";
  if (!css.empty()) classes += (classes.empty() ? "" : " ") + css;
  return fmt::format("<td{} data-key=\"{}\">{}</td>", classes.empty() ? "" : " class=\"" + classes + "\"",
                     html_text(key), html);
}

std::string number_cell(const std::optional<double>& v, const std::string& text) {
  return cell(v ? html_text(text) : "", v ? number_text(*v) : "", true);
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
  out += cell(fmt::format("<span class=\"state {}\">{}</span>", html_id(state), state), state, false);
  for (const std::string& path : context.varied) {
    const std::string value = shown_setting(t, path);
    const bool numeric = !value.empty() && value.find_first_not_of("0123456789.-+e") == std::string::npos;
    out += cell(html_text(value), value, numeric);
  }
  if (m)
    out += cell(
        html_text(value_text(m->value)) + (m->low && m->high ? fmt::format(" <span class=\"interval\">[{}, {}]</span>",
                                                                           value_text(*m->low), value_text(*m->high))
                                                             : ""),
        number_text(m->value), true);
  else
    out += cell("", "", true);
  const ReportTrial* base = m ? baseline_of(source, t) : nullptr;
  const auto d = base ? paired_difference(*base->record, *r, source.table.value) : std::nullopt;
  out += d ? cell(difference_text(*d), number_text(d->mean), true) : cell("", "", true);
  if (context.mixed())
    out += cell(m ? std::string(1, context.protocols.at(m->protocol)) : "",
                m ? std::string(1, context.protocols.at(m->protocol)) : "", false);
  const auto a = r ? average(*r, "activation_bits") : std::nullopt, kv = r ? average(*r, "kv_bits") : std::nullopt,
             w = r ? average(*r, "weight_bits") : std::nullopt;
  out += number_cell(w, bits_text(w)) + number_cell(a, bits_text(a)) + number_cell(kv, bits_text(kv));
  const double seconds = r ? total_seconds(*r) : 0;
  out += number_cell(seconds > 0 ? std::optional(seconds) : std::nullopt, duration_text(seconds));
  out += number_cell(
      r && r->peak_memory_bytes > 0 ? std::optional(static_cast<double>(r->peak_memory_bytes)) : std::nullopt,
      r ? bytes_text(r->peak_memory_bytes) : "");
  out += cell(r ? html_text(r->finished) : "", r ? r->finished : "", false);
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
  const std::string& key = context.key;
  std::string out = fmt::format(
      "<div class=\"controls needs-script\" role=\"search\"><label>search <input type=\"search\" id=\"{}-filter\" "
      "placeholder=\"any text of a row\"></label>",
      key);
  const auto select = [&](const std::string& name, const std::string& label, const std::vector<std::string>& values,
                          std::size_t column) {
    out += fmt::format(" <label>{} <select id=\"{}-{}\" data-column=\"{}\"><option value=\"\">all</option>",
                       html_text(label), key, name, column);
    for (const std::string& v : values) out += "<option>" + html_text(v) + "</option>";
    out += "</select></label>";
  };
  const auto distinct = [&](auto&& value_of) {
    std::vector<std::string> values;
    for (const ReportTrial& t : context.run.source.trials) {
      const std::string v = value_of(t);
      if (!v.empty() && std::find(values.begin(), values.end(), v) == values.end()) values.push_back(v);
    }
    return values;
  };
  const auto states = distinct([](const ReportTrial& t) { return std::string(state_of(t)); });
  if (states.size() > 1) select("f-state", "state", states, 1);
  for (std::size_t i = 0; i < context.varied.size(); ++i) {
    const std::string& path = context.varied[i];
    const auto values = distinct([&](const ReportTrial& t) { return shown_setting(t, path); });
    if (values.size() > 1 && values.size() <= 24)
      select(fmt::format("f{}", i), short_name(path, context.varied), values, 2 + i);
  }
  return out + fmt::format(
                   " <button type=\"button\" id=\"{0}-clear\">clear</button> <span class=\"muted\" "
                   "id=\"{0}-count\" aria-live=\"polite\"></span></div>\n",
                   key);
}

}  // namespace

std::string trials_part(const PageContext& context) {
  const ReportSource& source = context.run.source;
  if (source.trials.empty()) return "<p class=\"muted\">The plan has no trial.</p>\n";
  std::vector<Head> heads{{"trial", "text", "the trial's id"}, {"state", "text", ""}};
  for (const std::string& path : context.varied) heads.push_back({short_name(path, context.varied), "auto", path});
  heads.push_back({source.table.value, "number", "with its 95% interval where there is one"});
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
      "<div class=\"scroll\"><table class=\"trials\" id=\"{}-trials-table\"><caption>{} trials</caption>\n<thead><tr>",
      context.key, source.trials.size());
  for (const Head& h : heads)
    out += fmt::format("<th scope=\"col\" data-type=\"{}\"{}>{}</th>", h.type,
                       h.help.empty() ? "" : " title=\"" + html_text(h.help) + "\"", html_text(h.text));
  out += "</tr></thead>\n<tbody>\n";
  for (const ReportTrial& t : source.trials) out += row(context, t);
  out += "</tbody></table></div>\n";

  std::vector<std::string> notes;
  if (!source.table.columns.empty())
    notes.push_back(fmt::format(
        "Δ baseline: the trial against the one of the same row whose {} is identity (or, without such a column, the "
        "first): mean over the items of the difference{}, paired 95% interval (Student t); bold where it excludes 0.",
        join(source.table.columns, ", "), loss ? " of the windows' mean losses in nats per token" : ""));
  for (const auto& [protocol, letter] : context.protocols)
    if (context.mixed())
      notes.push_back(fmt::format("Protocol {}: {}", letter, protocol.empty() ? "not stated" : protocol));
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
