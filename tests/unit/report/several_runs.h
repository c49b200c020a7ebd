// Pages of several small runs.
#pragma once
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "fixture.h"
#include "page_checks.h"
#include "report/page.h"

namespace stamp::test {

inline const std::string a_protocol = "context 64, 4 windows, text t sha 1, tokenizer aa, bos start";
inline const std::string b_protocol = "context 64, 4 windows, text t sha 1, tokenizer bb, bos each_window";

// A perplexity is the exponential of the mean of its windows' losses.
inline ReportTrial measured(const std::string& id, const std::string& method, const std::string& transform,
                            const std::vector<double>& losses, const std::string& protocol = a_protocol) {
  double sum = 0;
  for (double v : losses) sum += v;
  ReportTrial t = trial(id, method, transform, std::exp(sum / static_cast<double>(losses.size())));
  for (Metric& m : t.record->metrics) m.protocol = protocol;
  t.record->metrics[0].items = losses;
  t.record->finished = "2026-01-30T10:00:00Z";
  return t;
}

inline PageRun run_of(const std::string& name, const std::vector<ReportTrial>& trials) {
  PageRun run;
  run.folder = std::string("runs/").append(name);
  run.source = grid_source();
  run.source.name = name;
  run.source.trials = trials;
  return run;
}

inline PageRequest page_of(const std::vector<PageRun>& runs) {
  PageRequest request;
  request.runs = runs;
  request.made = "2026-01-31T12:00:00Z";
  request.program = "a program";
  return request;
}

// "smol": for rtn haar beats identity by about one nat in every window; quarot's identity is second within the noise.
inline PageRun smol() {
  return run_of("smol", {measured("s1", "rtn", "identity", {3.0, 3.2, 2.8, 3.0}),
                         measured("s2", "rtn", "haar", {2.0, 2.3, 1.8, 2.0}),
                         measured("s3", "quarot", "identity", {2.5, 2.0, 2.6, 2.1}),
                         measured("s4", "quarot", "haar", {3.1, 2.9, 3.0, 2.8})});
}

// "gem": another tokenizer; haar changes nothing that can be told from chance.
inline PageRun gem() {
  PageRun run = run_of("gem", {measured("g1", "rtn", "identity", {4.0, 4.2, 3.8, 4.0}, b_protocol),
                               measured("g2", "rtn", "haar", {4.1, 4.0, 3.85, 4.0}, b_protocol)});
  for (ReportTrial& t : run.source.trials) t.record->spec["model"]["name"] = "gem-270m";
  return run;
}

inline Json overview_in(const PageRequest& request) {
  return data_in(report_page(request))["overview"];
}

// Every column's values have the protocol that the column says it has, and no other.
inline void check_columns_are_of_one_protocol(const PageRequest& request) {
  const Json overview = overview_in(request);
  for (const Json& table : overview["tables"])
    for (std::size_t c = 0; c < table["columns"].size(); ++c) {
      const std::string key = table["columns"][c]["run"];
      std::map<std::string, std::string> protocols;  // of trials
      for (const ReportTrial& t : request.runs[std::stoul(key.substr(1))].source.trials)
        if (t.record && t.record->status == "done") protocols[t.id] = t.record->metrics[0].protocol;
      std::set<std::string> seen;
      for (const Json& row : table["rows"])
        if (row["cells"][c]["state"].get<std::string>() == "done")
          for (const std::string id : row["cells"][c]["ids"]) seen.insert(protocols.at(id));
      CAPTURE(table["metric"], c);
      CHECK(seen.size() == 1);
    }
}

}  // namespace stamp::test
