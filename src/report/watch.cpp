#include "report/watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <ctime>

#include "base/text.h"
#include "report/page_parts.h"
#include "report/table.h"

namespace stamp {

namespace {

std::string text_of(const Json& json, const char* name) {
  const auto it = json.find(name);
  return it != json.end() && it->is_string() ? it->get<std::string>() : "";
}

std::int64_t count_of(const Json& json, const char* name) {
  const auto it = json.find(name);
  return it != json.end() && it->is_number_integer() ? it->get<std::int64_t>() : 0;
}

std::string label_of(const ReportTrial& t) {
  std::vector<std::string> parts;
  if (!t.labels.empty())
    for (const auto& [path, value] : t.labels.front().items()) {
      const std::vector<std::string> keys = split(path, '.');
      parts.push_back(value.is_string() ? value.get<std::string>() : keys.back() + " " + setting_text(value));
    }
  return parts.empty() ? t.id : join(parts, ", ");
}

std::string outcome_of(const ReportSource& source, const Record& r) {
  if (r.failure) return "failed: " + r.failure->kind;
  const Metric* m = find_metric(r, source.table.value);
  if (!m && !r.metrics.empty()) m = &r.metrics.front();
  return m ? fmt::format("{} {}{}{}", m->name, value_text(m->value), m->unit.empty() ? "" : " ", m->unit) : "done";
}

std::string cut(const std::string& line, std::size_t width) {
  std::string out;
  std::size_t columns = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const bool follows = (static_cast<unsigned char>(line[i]) & 0xC0) == 0x80;
    if (!follows && ++columns > width) return out;
    out += line[i] == '\n' || line[i] == '\r' || line[i] == '\033' ? ' ' : line[i];
  }
  return out;
}

std::string counts(const WatchState& s) {
  std::string out = fmt::format("{}/{} done", s.done, s.planned);
  if (s.failed > 0) out += fmt::format(", {} failed", s.failed);
  if (s.missing > 0) out += fmt::format(", {} missing", s.missing);
  return out;
}

}  // namespace

std::optional<double> utc_seconds(const std::string& text) {
  std::tm t{};
  char z = 0;
  if (std::sscanf(text.c_str(), "%4d-%2d-%2dT%2d:%2d:%2d%c", &t.tm_year, &t.tm_mon, &t.tm_mday, &t.tm_hour, &t.tm_min,
                  &t.tm_sec, &z) != 7 ||
      z != 'Z')
    return std::nullopt;
  t.tm_year -= 1900;
  t.tm_mon -= 1;
  return static_cast<double>(::timegm(&t));
}

WatchState watch_state(const WatchInput& input) {
  WatchState s;
  s.name = input.source.name;
  s.at_work = input.at_work;
  s.planned = input.source.trials.size();
  const std::string id = input.running.is_object() ? text_of(input.running, "id") : "";
  const double started = utc_seconds(text_of(input.running, "started")).value_or(0);  // 0: not said
  double seconds = 0;
  std::size_t timed = 0, to_do = 0;
  std::string newest;
  for (const ReportTrial& t : input.source.trials) {
    const bool queued = std::find(input.queue.begin(), input.queue.end(), t.id) != input.queue.end();
    const bool current = input.at_work && t.id == id;
    // A record older than the start of the present try is of an earlier one, which this run repeats.
    const bool repeated = current && t.record && utc_seconds(t.record->finished).value_or(started) < started;
    if (t.record && t.record->status == "done" && !repeated) {
      ++s.done;
      if (const double total = total_seconds(*t.record); total > 0) {
        seconds += total;
        ++timed;
      }
    } else if (t.record && !repeated) {
      ++s.failed;
    } else if (!t.record && !t.missing.empty()) {
      ++s.missing;
    } else {
      ++s.left;
      if (input.queue.empty() || queued || current) ++to_do;
    }
    if (t.record && !t.record->finished.empty() && t.record->finished >= newest) {
      newest = t.record->finished;
      s.last_id = t.id;
      s.last = label_of(t) + ": " + outcome_of(input.source, *t.record);
    }
    if (current) {
      s.trial = t.id;
      s.label = label_of(t);
    }
  }
  if (input.at_work && !s.trial.empty()) {
    s.phase = text_of(input.running, "phase");
    if (const std::int64_t total = count_of(input.running, "total"); !s.phase.empty() && total > 0)
      s.phase += fmt::format(" {}/{}", count_of(input.running, "done"), total);
    if (started > 0) s.elapsed = std::max(0.0, input.now - started);
  }
  if (input.at_work && timed > 0) {
    const double mean = seconds / static_cast<double>(timed);
    const double whole = mean * static_cast<double>(to_do);
    s.remaining = std::max(0.0, whole - std::min(s.elapsed, mean));
  }
  return s;
}

std::string watch_line(const WatchState& s) {
  std::string out = counts(s);
  if (!s.at_work) {
    out += s.left > 0 ? fmt::format("; not at work, {} not run", s.left) : "; ended";
  } else if (!s.trial.empty()) {
    out += fmt::format("; at {} ({})", s.trial, s.label);
    if (!s.phase.empty()) out += ", " + s.phase.substr(0, s.phase.find(' '));  // a line a phase, not a line a step
  } else {
    out += "; starting";
  }
  if (!s.last.empty()) out += "; last " + s.last;
  return cut(out, 400);
}

std::vector<std::string> watch_lines(const WatchState& s, std::size_t width) {
  std::vector<std::string> lines;
  const std::size_t bar = std::clamp<std::size_t>(width > 60 ? width - 40 : 20, 10, 50);
  const double share = s.planned > 0 ? static_cast<double>(s.done + s.failed) / static_cast<double>(s.planned) : 0;
  const auto full = static_cast<std::size_t>(share * static_cast<double>(bar));
  lines.push_back(s.name);
  lines.push_back(fmt::format("[{}{}] {}", std::string(full, '#'), std::string(bar - full, '.'), counts(s)));
  if (!s.at_work)
    lines.push_back(s.left > 0 ? fmt::format("not at work; {} not run; `stamp run` continues", s.left) : "ended");
  else if (s.trial.empty())
    lines.push_back("starting, or between two trials");
  else
    lines.push_back(fmt::format("now   {}  {}{}{}, {}", s.trial, s.label, s.phase.empty() ? "" : "  ", s.phase,
                                duration_text(s.elapsed)));
  if (s.remaining)
    lines.push_back("left  about " + duration_text(*s.remaining) + ", from the mean of the finished trials");
  if (!s.last.empty()) lines.push_back(fmt::format("last  {}  {}", s.last_id, s.last));
  for (std::string& line : lines) line = cut(line, width);
  return lines;
}

}  // namespace stamp
