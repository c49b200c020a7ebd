#include "report/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/text.h"
#include "report/table.h"

namespace stamp {

namespace {

double distance(const Expectation& e, double value) {
  if (std::isnan(value)) return std::numeric_limits<double>::infinity();
  if (value == e.value) return 0;
  const double off = std::fabs(value - e.value);
  return e.relative ? off / std::fabs(e.value) : off;  // an expected zero with a relative tolerance: infinitely far
}

Verdict judge(const ReportSource& source, const Expectation& e) {
  Verdict v;
  v.expectation = &e;
  static const Json none = Json::object();
  std::size_t matched = 0, failed = 0, pending = 0;
  std::vector<std::string> measured;  // of trials without the metric
  std::string last_failure;
  for (const ReportTrial& t : source.trials) {
    const Json& spec = t.record ? t.record->spec : none;
    const bool here = t.labels.empty() ? matches(e.when, none, spec)
                                       : std::any_of(t.labels.begin(), t.labels.end(),
                                                     [&](const Json& l) { return matches(e.when, l, spec); });
    if (!here) continue;
    ++matched;
    if (!t.record) {
      ++pending;
      continue;
    }
    if (t.record->status != "done") {
      ++failed;
      last_failure = t.record->failure ? t.record->failure->kind : "";
      continue;
    }
    const Metric* m = find_metric(*t.record, e.metric);
    if (!m) {
      for (const Metric& other : t.record->metrics) measured.push_back(other.name);
      continue;
    }
    const double off = distance(e, m->value);
    if (v.trials == 0 || off > v.off) {
      v.off = off;
      v.value = m->value;
      v.trial = t.id;
    }
    ++v.trials;
  }
  if (v.trials == 0) {
    v.reason = matched == 0  ? "no trial matches"
               : failed > 0  ? fmt::format("the trial failed ({})", last_failure)
               : pending > 0 ? "not run yet"
                             : fmt::format("no metric {}{}", e.metric, did_you_mean(e.metric, measured));
    return v;
  }
  const double allowed = e.relative ? *e.relative : *e.absolute;
  v.state = v.off <= allowed ? Verdict::State::holds : Verdict::State::misses;
  // A failure beside a value that holds is not a pass of the whole expectation.
  if (v.state == Verdict::State::holds && failed + pending > 0)
    v.reason = fmt::format("{} of {} matching trials have no result", failed + pending, matched);
  return v;
}

}  // namespace

std::vector<Verdict> check(const ReportSource& source, const std::vector<Expectation>& expectations) {
  std::vector<Verdict> out;
  for (const Expectation& e : expectations) out.push_back(judge(source, e));
  return out;
}

bool any_miss(const std::vector<Verdict>& verdicts) {
  return std::any_of(verdicts.begin(), verdicts.end(),
                     [](const Verdict& v) { return v.state == Verdict::State::misses; });
}

std::string verdicts_text(const std::vector<Verdict>& verdicts) {
  std::string out;
  std::size_t holds = 0, misses = 0, untested = 0;
  for (const Verdict& v : verdicts) {
    const Expectation& e = *v.expectation;
    const std::string tolerance = e.relative ? fmt::format("{:.4g}%", 100 * *e.relative) : number_text(*e.absolute);
    const std::string expected = fmt::format("{} {} ± {} ({})", e.metric, value_text(e.value), tolerance, e.source);
    if (v.state == Verdict::State::untested) {
      ++untested;
      out += fmt::format("untested  {}: {}: {}\n", e.id, expected, v.reason);
      continue;
    }
    const bool good = v.state == Verdict::State::holds;
    ++(good ? holds : misses);
    const std::string off = e.relative ? fmt::format("{:.2g}%", 100 * v.off) : number_text(v.off);
    out += fmt::format("{}  {}: {}: measured {}, off by {} (trial {}{}){}\n", good ? "holds   " : "MISSES  ", e.id,
                       expected, value_text(v.value), off, v.trial,
                       v.trials > 1 ? fmt::format(", the furthest of {}", v.trials) : "",
                       v.reason.empty() ? "" : "; " + v.reason);
  }
  return out + fmt::format("{} hold, {} miss, {} untested\n", holds, misses, untested);
}

}  // namespace stamp
