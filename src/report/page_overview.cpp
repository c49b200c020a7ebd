// The top of a page of several runs: what each has measured, its best value, and whether that is better by more than
// chance. Values of different models or protocols are never held against each other: a run that has several of them
// has as many parts, each with a line of its own in the run's row.
#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "report/html.h"
#include "report/notes.h"
#include "report/page_overview.h"

namespace stamp {

namespace {

constexpr const char* nothing = "–";

const Record* finished(const ReportTrial& t) {
  return t.record && t.record->status == "done" ? &*t.record : nullptr;
}

std::string text_in(const Json& json, const char* key) {
  const auto it = json.find(key);
  return it == json.end() || it->is_null() ? std::string() : setting_text(*it);
}

void add_once(std::vector<std::string>& list, const std::string& text) {
  if (!text.empty() && std::find(list.begin(), list.end(), text) == list.end()) list.push_back(text);
}

using Texts = std::vector<std::string>;

// ---- where a run comes from ----

struct Origin {
  Texts models, revisions;
  bool dirty = false;
  std::string first, last;  // finished
};

Origin origin_of(const ReportSource& source) {
  Origin o;
  for (const ReportTrial& t : source.trials) {
    add_once(o.models, shown_model(t));
    if (!t.record) continue;
    add_once(o.revisions, text_in(t.record->code, "revision"));
    o.dirty = o.dirty || t.record->code.value("dirty", false);
    const std::string& when = t.record->finished;
    if (!when.empty() && (o.first.empty() || when < o.first)) o.first = when;
    o.last = std::max(o.last, when);
  }
  return o;
}

struct Caveat {
  std::string word, text;
};

// What stands in the run's row; the whole of it is in the notes below the table.
std::vector<Caveat> caveats_of(const PageContext& context, const Origin& origin, const std::vector<RunPart>& parts) {
  std::vector<Caveat> out;
  const PageRun& run = context.run;
  if (run.source.smoke) out.push_back({"smoke run", "shows that everything runs, and nothing else"});
  if (!run.notices.empty())
    out.push_back({fmt::format("{} damaged line{}", run.notices.size(), run.notices.size() == 1 ? "" : "s"),
                   join(run.notices, "\n")});
  if (context.mixed())
    out.push_back({fmt::format("{} protocols mixed", context.protocols.size()),
                   "values that were not measured the same way; each protocol has a line of its own"});
  if (origin.revisions.size() > 1)
    out.push_back({fmt::format("{} revisions", origin.revisions.size()), join(origin.revisions, ", ")});
  if (origin.dirty) out.push_back({"dirty code", "sources that differ from their revision"});
  for (const RunPart& part : parts)
    if (!part.table) out.push_back({"no table", part.refused});
  return out;
}

// ---- the row of a run ----

template <typename F>
std::string lines(const std::vector<RunPart>& parts, F&& line) {
  Texts out;
  for (const RunPart& part : parts) out.push_back(line(part));
  return out.empty() ? nothing : join(out, "<br>");
}

template <typename F>
std::string lines_key(const std::vector<RunPart>& parts, F&& text) {
  Texts out;
  for (const RunPart& part : parts) add_once(out, text(part));
  return join(out, ", ");
}

std::string reference_text(const RunPart& part) {
  const std::set<double> values = references_of(part);
  if (values.empty()) return nothing;
  const std::string low = value_text(*values.begin()), high = value_text(*values.rbegin());
  return low == high ? low : fmt::format("{} to {}", low, high);
}

std::string best_html(const PageContext& context, const RunPart& part, const Best& best) {
  if (!best.cell) return nothing;
  const TableCell& c = *best.cell;
  std::string value = html_text(value_text(c.value));
  if (c.ids.size() == 1) value = fmt::format("<a href=\"#{}-t-{}\">{}</a>", context.key, html_id(c.ids.front()), value);
  if (c.sees_ahead) value += "<sup title=\"see the note below: can see ahead\">†</sup>";
  if (c.deviation)
    value += fmt::format(" <span class=\"interval\">± {} ({})</span>", value_text(*c.deviation), c.samples);
  else if (c.low && c.high)
    value += fmt::format(" <span class=\"interval\">[{}, {}]</span>", value_text(*c.low), value_text(*c.high));
  return fmt::format("{} {}", value, html_text(cell_name(part, c)));
}

std::string lead_html(const RunPart& part, const Best& best, const Lead& lead) {
  if (!lead.over) return nothing;
  const bool lower = part.table->lower_is_better;
  std::string text;
  if (lead.paired) {
    text = fmt::format("{:+.3f} [{:+.3f}, {:+.3f}]", lead.paired->mean, lead.paired->low, lead.paired->high);
    if (lead.paired->better(lower)) text = fmt::format("<strong>{}</strong>", text);
  } else {
    text = fmt::format("{:+.4g}", best.cell->value - lead.over->value);
    text += !lead.apart ? ", untested" : *lead.apart ? ", intervals apart" : ", intervals overlap";
    if (lead.apart && *lead.apart) text = fmt::format("<strong>{}</strong>", text);
  }
  return fmt::format("{} <span class=\"interval\">to {} {}</span>", text, html_text(value_text(lead.over->value)),
                     html_text(cell_name(part, *lead.over)));
}

std::string lead_key(const Best& best, const Lead& lead) {
  if (!lead.over) return "";
  return number_text(lead.paired ? lead.paired->mean : best.cell->value - lead.over->value);
}

std::string code_html(const Origin& origin) {
  Texts shown;
  for (const std::string& revision : origin.revisions)
    if (shown.size() < 3) shown.push_back(fmt::format("<code>{}</code>", html_text(revision.substr(0, 8))));
  std::string out = join(shown, " ");
  if (origin.revisions.size() > shown.size())
    out += fmt::format(" and {} more", origin.revisions.size() - shown.size());
  return out.empty() ? nothing : out;
}

std::string date_text(const Origin& origin) {
  const std::string first = origin.first.substr(0, 10), last = origin.last.substr(0, 10);
  return last.empty() ? nothing : first == last ? last : fmt::format("{} to {}", first, last);
}

std::string run_row(const PageOverview& overview, std::size_t index) {
  const PageContext& context = overview.contexts[index];
  const std::vector<RunPart>& parts = overview.parts[index];
  const ReportSource& source = context.run.source;
  const Origin origin = origin_of(source);
  const TrialCounts counts = trial_counts(source);
  std::vector<Best> best;
  for (const RunPart& part : parts) best.push_back(part.table ? best_of(*part.table) : Best());
  const auto at = [&](const RunPart& part) -> const Best& { return best[static_cast<std::size_t>(&part - &parts[0])]; };
  // Numbers of several models or protocols have no order.
  const bool one = parts.size() == 1;
  const auto number = [&](const std::string& html, const std::string& key) {
    return data_cell(html, one ? key : "", false);
  };
  const std::set<double> references = one ? references_of(parts[0]) : std::set<double>();
  std::string out = fmt::format("<tr data-run=\"{0}\"><th scope=\"row\" data-key=\"{1}\"><a href=\"#{0}\">{1}</a></th>",
                                context.key, html_text(overview.names[index]));
  const std::string models = join(origin.models, ", ");
  out += parts.empty() ? data_cell(models.empty() ? nothing : html_text(models), models, false)
                       : data_cell(lines(parts,
                                         [](const RunPart& p) {
                                           const std::string text = html_text(p.model);
                                           return p.apart.empty() ? text
                                                                  : fmt::format("{} <span class=\"interval\">{}</span>",
                                                                                text, html_text(p.apart));
                                         }),
                                   models, false);
  out += data_cell(html_text(source.table.value), source.table.value, false);
  out += data_cell(counts_html(counts), std::to_string(counts.without_result()), false);
  out += number(lines(parts, reference_text), references.empty() ? "" : number_text(*references.begin()));
  out += number(lines(parts, [&](const RunPart& p) { return best_html(context, p, at(p)); }),
                one && best[0].cell ? number_text(best[0].cell->value) : "");
  out += number(lines(parts,
                      [&](const RunPart& p) {
                        return at(p).is_baseline ? "is the baseline" : lead_html(p, at(p), at(p).baseline);
                      }),
                one ? lead_key(best[0], best[0].baseline) : "");
  out += number(lines(parts, [&](const RunPart& p) { return lead_html(p, at(p), at(p).second); }),
                one ? lead_key(best[0], best[0].second) : "");
  out += number(lines(parts, [](const RunPart& p) { return html_text(items_text(p)); }),
                one ? std::to_string(*parts[0].items.begin()) : "");
  out += data_cell(lines(parts, [](const RunPart& p) { return p.letter; }),
                   lines_key(parts, [](const RunPart& p) { return p.letter; }), false);
  out += data_cell(code_html(origin), origin.revisions.empty() ? "" : origin.revisions.front(), false);
  out += data_cell(html_text(date_text(origin)), origin.last, false);
  std::string caveats;
  Texts words;
  for (const Caveat& c : caveats_of(context, origin, parts)) {
    caveats +=
        fmt::format("<span class=\"state caveat\" title=\"{}\">{}</span> ", html_text(c.text), html_text(c.word));
    words.push_back(c.word);
  }
  return out + data_cell(caveats, join(words, ", "), false) + "</tr>\n";
}

// ---- notes ----

// Code, processors and threads that differ from run to run; within one they are in the run's own notes.
Texts notes_between(const PageOverview& overview) {
  const auto differing = [&](const char* what, auto&& text_of) {
    std::vector<std::pair<std::string, Texts>> seen;  // what the runs have -> the runs
    for (std::size_t i = 0; i < overview.contexts.size(); ++i) {
      Texts values;
      for (const ReportTrial& t : overview.contexts[i].run.source.trials)
        if (const Record* r = finished(t)) add_once(values, text_of(*r));
      if (values.empty()) continue;
      std::sort(values.begin(), values.end());
      const std::string text = join(values, " and ");
      auto it = std::find_if(seen.begin(), seen.end(), [&](const auto& s) { return s.first == text; });
      if (it == seen.end()) it = seen.insert(seen.end(), {text, {}});
      it->second.push_back(overview.names[i]);
    }
    Texts parts;
    for (const auto& [text, runs] : seen) parts.push_back(fmt::format("{} ({})", text, join(runs, ", ")));
    return parts.size() < 2 ? std::string() : fmt::format("Between the runs {}: {}.", what, join(parts, "; "));
  };
  Texts notes;
  add_once(notes, differing("the code differs", [](const Record& r) {
             return text_in(r.code, "revision").substr(0, 12) + (r.code.value("dirty", false) ? " (dirty)" : "");
           }));
  add_once(notes, differing("the processor differs", [](const Record& r) { return text_in(r.hardware, "cpu"); }));
  add_once(notes, differing("the number of threads differs, so that sums differ in the last digits",
                            [](const Record& r) { return std::to_string(r.threads); }));
  return notes;
}

// Every note once, behind the runs that it is about.
Texts notes_of_runs(const PageOverview& overview) {
  std::vector<std::pair<std::string, Texts>> seen;
  for (std::size_t i = 0; i < overview.contexts.size(); ++i) {
    const PageRun& run = overview.contexts[i].run;
    Texts all = run.notices;
    for (const std::string& note : reader_notes(run.source, run.source.table.value)) all.push_back(note);
    for (const std::string& note : all) {
      auto it = std::find_if(seen.begin(), seen.end(), [&](const auto& s) { return s.first == note; });
      if (it == seen.end()) it = seen.insert(seen.end(), {note, {}});
      add_once(it->second, overview.names[i]);
    }
  }
  Texts notes;
  for (const auto& [text, runs] : seen)
    notes.push_back(fmt::format("{}: {}", runs.size() == overview.names.size() ? "All runs" : join(runs, ", "), text));
  return notes;
}

std::map<std::string, std::string> letters_of(const PageOverview& overview) {
  std::map<std::string, std::string> letters;
  for (const PageContext& context : overview.contexts)
    letters.insert(context.protocols.begin(), context.protocols.end());
  return letters;
}

Texts table_notes(const PageOverview& overview) {
  bool ahead = false;
  for (const std::vector<RunPart>& parts : overview.parts)
    for (const RunPart& part : parts)
      if (const Best best = part.table ? best_of(*part.table) : Best(); best.cell) ahead |= best.cell->sees_ahead;
  Texts notes{
      "Best: of all values of one model by one protocol in the run; a run with several has a line for each. It was "
      "chosen after all were seen, which makes its lead a little too good; intervals are not corrected for that.",
      "Δ baseline, Δ second: mean over the items of the difference to the identity transform (or the first column) in "
      "the same row of the run's table, and to the second best value, with its paired 95% interval (Student t; of a "
      "perplexity in nats per token). Bold: better, and the interval excludes 0. Where items do not pair, intervals of "
      "the values must not overlap."};
  if (ahead) notes.push_back(fmt::format("† {}.", sees_ahead_note));
  for (const Texts& more : {protocol_notes(letters_of(overview)), notes_between(overview)})
    notes.insert(notes.end(), more.begin(), more.end());
  return notes;
}

// ---- as data ----

Json lead_data(const RunPart& part, const Lead& lead) {
  if (!lead.over) return nullptr;
  Json j{{"name", cell_name(part, *lead.over)}, {"value", json_number(lead.over->value)}, {"ids", lead.over->ids}};
  if (lead.paired) {
    j["mean"] = lead.paired->mean;
    j["low"] = lead.paired->low;
    j["high"] = lead.paired->high;
    j["items"] = lead.paired->items;
    j["better"] = lead.paired->better(part.table->lower_is_better);
  } else if (lead.apart) {
    j["better"] = *lead.apart;
  }
  return j;
}

Json part_data(const RunPart& part) {
  Json j{{"model", part.model},   {"apart", part.apart}, {"protocol", part.protocol},
         {"letter", part.letter}, {"n", part.items},     {"over", part.over}};
  const std::set<double> references = references_of(part);
  if (references.size() == 1) j["full_precision"] = json_number(*references.begin());
  const Best best = part.table ? best_of(*part.table) : Best();
  if (!best.cell) return j;
  j["best"] = {{"name", cell_name(part, *best.cell)},
               {"value", json_number(best.cell->value)},
               {"ids", best.cell->ids},
               {"sees_ahead", best.cell->sees_ahead},
               {"is_baseline", best.is_baseline}};
  j["baseline"] = lead_data(part, best.baseline);
  j["second"] = lead_data(part, best.second);
  return j;
}

}  // namespace

PageOverview page_overview(const std::vector<PageContext>& contexts) {
  PageOverview overview{contexts, {}, {}, {}};
  if (contexts.size() < 2) return overview;
  for (const PageContext& context : contexts) {
    const std::string& name = context.run.source.name;
    const auto same = std::count_if(contexts.begin(), contexts.end(),
                                    [&](const PageContext& c) { return c.run.source.name == name; });
    overview.names.push_back(same > 1 ? fmt::format("{} ({})", name, context.run.folder) : name);
    overview.parts.push_back(run_parts(context));
  }
  overview.tables = side_by_side(overview);
  return overview;
}

std::string overview_part(const PageOverview& overview) {
  if (overview.parts.empty()) return "";
  Texts metrics, models;
  for (const PageContext& context : overview.contexts) {
    add_once(metrics, context.run.source.table.value);
    add_once(models, join(origin_of(context.run.source).models, ", "));
  }
  std::vector<PageFilter> filters;
  if (models.size() > 1) filters.push_back({"f-model", "model", 1, models});
  if (metrics.size() > 1) filters.push_back({"f-metric", "metric", 2, metrics});
  std::string out = "<section id=\"overview\"><h2>Overview</h2>\n";
  out += filter_controls("overview", filters);
  out += fmt::format(
      "<div class=\"scroll\"><table class=\"trials overview\" id=\"overview-table\" data-controls=\"overview\" "
      "data-noun=\"runs\"><caption>{} runs</caption>\n",
      overview.parts.size());
  out +=
      head_row({{"run", "text", "leads to the run's section"},
                {"model", "text", ""},
                {"metric", "text", "of the run's table"},
                {"trials", "number", "sorts by the number of trials without a result"},
                {"full precision", "number", "the unquantized model on the same items"},
                {"best", "number", "with its 95% interval where there is one, method, transform and what else varies"},
                {"Δ baseline", "number", "best against the identity transform of the same row"},
                {"Δ second", "number", "best against the second best value"},
                {"n", "number", "items that a value is measured on"},
                {"protocol", "text", "see below"},
                {"code", "text", "revision of the program that ran the trials"},
                {"finished", "text", ""},
                {"caveats", "text", "see below"}});
  out += "<tbody>\n";
  for (std::size_t i = 0; i < overview.parts.size(); ++i) out += run_row(overview, i);
  out += "</tbody></table></div>\n";
  out += html_list(table_notes(overview), "notes");
  const Texts notes = notes_of_runs(overview);
  if (!notes.empty())
    out += fmt::format("<details open><summary>What to know of these runs</summary>\n{}</details>\n",
                       html_list(notes, "notes"));
  return out + side_by_side_part(overview) + "</section>\n";
}

Json overview_data(const PageOverview& overview) {
  Json j{{"runs", Json::array()}, {"tables", side_by_side_data(overview)}};
  for (std::size_t i = 0; i < overview.parts.size(); ++i) {
    const PageContext& context = overview.contexts[i];
    const Origin origin = origin_of(context.run.source);
    Json run{{"key", context.key},       {"models", origin.models},        {"revisions", origin.revisions},
             {"dirty", origin.dirty},    {"first_finished", origin.first}, {"last_finished", origin.last},
             {"caveats", Json::array()}, {"parts", Json::array()}};
    for (const Caveat& c : caveats_of(context, origin, overview.parts[i])) run["caveats"].push_back(c.word);
    for (const RunPart& part : overview.parts[i]) run["parts"].push_back(part_data(part));
    j["runs"].push_back(std::move(run));
  }
  return j;
}

}  // namespace stamp
