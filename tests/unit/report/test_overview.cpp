// The overview of a page of several runs.
#include "report/page_overview.h"
#include "several_runs.h"
#include "support/catch.h"

using namespace stamp;
using namespace stamp::test;

namespace {

// The row of a run in the overview's table.
std::string row_of(const std::string& page, const std::string& key) {
  const std::size_t from = page.find(std::string("<tr data-run=\"").append(key).append("\">"));
  REQUIRE(from != std::string::npos);
  return page.substr(from, page.find("</tr>", from) - from);
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

ReportTrial seeded(const std::string& id, const std::string& transform, int seed, double value) {
  ReportTrial t = trial(id, "rtn", transform, value);
  t.labels[0]["calibration.seed"] = seed;
  return t;
}

}  // namespace

TEST_CASE("a page of one run has no overview; of several, every run has a row that leads to its section") {
  const std::string one = report_page(page_of({smol()}));
  CHECK_FALSE(has(one, "id=\"overview\""));
  CHECK_FALSE(data_in(one).contains("overview"));
  const std::string two = report_page(page_of({smol(), gem()}));
  CHECK(first_misnested(two) == "");
  CHECK(count(two, "<tr data-run=") == 2);
  CHECK(has(row_of(two, "r0"), "<a href=\"#r0\">smol</a>"));
  CHECK(has(row_of(two, "r1"), "<a href=\"#r1\">gem</a>"));
  CHECK(has(row_of(two, "r1"), "gem-270m"));
  CHECK(has(row_of(two, "r1"), "4 windows"));
  CHECK(has(row_of(two, "r1"), "2026-01-30"));
  CHECK(has(row_of(two, "r1"), "<code>abc</code>"));
  CHECK(has(two, "href=\"#overview\""));
  CHECK(two.find("id=\"overview\"") < two.find("<article"));
}

TEST_CASE("the best value is held against the identity of its row and against the second, item by item") {
  const PageRequest request = page_of({smol(), gem()});
  const Json part = overview_in(request)["runs"][0]["parts"][0];
  CHECK(part["best"]["name"] == "rtn, haar");
  CHECK(part["best"]["sees_ahead"] == true);
  CHECK(part["full_precision"] == 6.25);
  CHECK(part["baseline"]["name"] == "rtn, identity");
  CHECK(part["baseline"]["mean"].get<double>() == Approx(-0.975));
  CHECK(part["baseline"]["low"].get<double>() == Approx(-0.975 - 3.182446 * 0.025).epsilon(1e-5));
  CHECK(part["baseline"]["better"] == true);
  CHECK(part["second"]["name"] == "quarot, identity");
  CHECK(part["second"]["mean"].get<double>() == Approx(-0.275));
  CHECK(part["second"]["better"] == false);
  const std::string row = row_of(report_page(request), "r0");
  CHECK(has(row, "<strong>-0.975 ["));  // bold where the interval excludes 0, and only there
  CHECK_FALSE(has(row, "<strong>-0.275 ["));
  CHECK(has(row, "-0.275 ["));
  const Json gems = overview_in(request)["runs"][1]["parts"][0];
  CHECK(gems["best"]["name"] == "rtn, haar");
  CHECK(gems["baseline"]["better"] == false);
}

TEST_CASE("where the identity transform is best the run says so, and holds it against the second") {
  PageRun run = smol();
  run.source.trials[1] = measured("s2", "rtn", "haar", {9.0, 9.1, 9.0, 9.2});
  const PageRequest request = page_of({run, gem()});
  const Json part = overview_in(request)["runs"][0]["parts"][0];
  CHECK(part["best"]["name"] == "quarot, identity");
  CHECK(part["best"]["is_baseline"] == true);
  CHECK(part["baseline"].is_null());
  CHECK(has(row_of(report_page(request), "r0"), "is the baseline"));
}

TEST_CASE("the best value is a mean over repeats, never the luckiest of them") {
  PageRun run = smol();
  run.source.table.average = {"calibration.seed"};
  run.source.trials = {seeded("h0", "haar", 0, 10), seeded("h1", "haar", 1, 30), seeded("d0", "dct", 0, 15),
                       seeded("d1", "dct", 1, 17)};
  const Json part = overview_in(page_of({run, gem()}))["runs"][0]["parts"][0];
  CHECK(part["best"]["name"] == "rtn, dct");
  CHECK(part["best"]["value"] == 16);
  CHECK(part["best"]["ids"] == Json({"d0", "d1"}));
}

TEST_CASE("higher is better where the metric says so") {
  PageRun run = smol();
  for (ReportTrial& t : run.source.trials) t.record->metrics[0].lower_is_better = false;
  const Json part = overview_in(page_of({run, gem()}))["runs"][0]["parts"][0];
  CHECK(part["best"]["name"] == "rtn, identity");
  CHECK(part["second"]["name"] == "quarot, haar");
}

TEST_CASE("failed, missing and pending trials, torn lines and smoke runs of one run stand in its row") {
  PageRun run = smol();
  run.source.smoke = true;
  run.notices = {"records.jsonl:3: the last line is torn (12 bytes, an interrupted write); not counted"};
  run.source.trials[1].record->status = "failed";
  run.source.trials[1].record->metrics.clear();
  run.source.trials[1].record->failure = Failure{"nan_metric", "perplexity is nan", "evaluate"};
  run.source.trials[2].record.reset();
  run.source.trials[2].missing = "model not found: m.gguf";
  run.source.trials[3].record.reset();
  run.source.trials[0].record->code["dirty"] = true;
  const PageRequest request = page_of({run, gem()});
  const std::string page = report_page(request), row = row_of(page, "r0");
  for (const char* part :
       {"1 done", "1 failed", "1 missing", "1 not run", "smoke run", "1 damaged line", "dirty code"}) {
    CAPTURE(part);
    CHECK(has(row, part));
  }
  CHECK_FALSE(has(row_of(page, "r1"), "failed"));
  const Json runs = overview_in(request)["runs"];
  CHECK(runs[0]["caveats"] == Json({"smoke run", "1 damaged line", "dirty code"}));
  CHECK(runs[1]["caveats"].empty());
  // In words below the table, behind the run they are about.
  CHECK(has(page, "smol: records.jsonl:3: the last line is torn"));
  CHECK(has(page, "smol: 1 trial could not run: model not found: m.gguf."));
}

TEST_CASE("a run of mixed protocols is marked, and no value is best across them") {
  PageRun run = smol();
  for (Metric& m : run.source.trials[1].record->metrics) m.protocol = "context 32, 4 windows";
  const PageRequest request = page_of({run, gem()});
  const Json data = overview_in(request)["runs"][0];
  CHECK(data["caveats"] == Json({"2 protocols mixed"}));
  REQUIRE(data["parts"].size() == 2);
  CHECK(data["parts"][0]["best"]["name"] == "quarot, identity");  // not the lower value at another context
  CHECK(data["parts"][1]["best"]["name"] == "rtn, haar");
  CHECK(data["parts"][1]["baseline"].is_null());
  const std::string page = report_page(request);
  CHECK(has(row_of(page, "r0"), "2 protocols mixed"));
  CHECK(has(row_of(page, "r0"), "A<br>B"));
  CHECK(first_misnested(page) == "");
}

TEST_CASE("texts and contexts that a run varies on purpose are parts of it, told apart by what they vary") {
  PageRun run = smol();
  for (std::size_t i = 0; i < run.source.trials.size(); ++i) {
    run.source.trials[i].labels[0]["data.context"] = i < 2 ? 64 : 32;
    if (i < 2) continue;
    for (Metric& m : run.source.trials[i].record->metrics) m.protocol = "context 32, 4 windows";
  }
  ReportTrial failed = run.source.trials[3];  // belongs to the part with its context
  failed.id = "s5";
  failed.labels[0]["quantization.method"] = "viditq";
  failed.record->status = "failed";
  failed.record->metrics.clear();
  run.source.trials.insert(run.source.trials.begin(), failed);
  const PageRequest request = page_of({run, gem()});
  const std::vector<PageContext> contexts = page_contexts(request);
  const std::vector<RunPart> parts = run_parts(contexts[0]);
  REQUIRE(parts.size() == 2);
  CHECK(parts[0].apart == "context 64");
  CHECK(parts[0].source.trials.size() == 2);
  CHECK(parts[1].apart == "context 32");
  CHECK(parts[1].source.trials.size() == 3);
  CHECK(overview_in(request)["runs"][0]["caveats"].empty());
}

TEST_CASE("one protocol has one letter on the whole page, and no two share one") {
  std::vector<PageRun> runs{smol(), gem(), smol()};
  for (int i = 0; i < 30; ++i)
    runs.push_back(run_of(std::string("run").append(std::to_string(i)),
                          {measured("x", "rtn", "identity", {1, 2}, std::to_string(i))}));
  const PageRequest request = page_of(runs);
  const Json data = overview_in(request)["runs"];
  CHECK(data[0]["parts"][0]["letter"] == "A");
  CHECK(data[1]["parts"][0]["letter"] == "B");
  CHECK(data[2]["parts"][0]["letter"] == "A");
  std::set<std::string> letters;
  for (const Json& run : data) letters.insert(run["parts"][0]["letter"].get<std::string>());
  CHECK(letters.size() == 32);
  CHECK(data[32]["parts"][0]["letter"] == "AF");         // the 32nd: A to Z, then AA to AF
  CHECK(has(report_page(request), "smol (runs/smol)"));  // two runs of one name are told apart by their folders
}

TEST_CASE("notes stand once, behind the runs that they are about; code that differs between the runs is named") {
  PageRun other = gem();
  for (ReportTrial& t : other.source.trials) {
    t.record->code["revision"] = "def";
    t.record->warnings = {"few calibration rows"};
  }
  const std::string page = report_page(page_of({smol(), other}));
  const std::string top = page.substr(0, page.find("<article"));
  CHECK(count(top, "All runs: Measured on 4 windows only") == 1);
  CHECK(count(top, "gem: few calibration rows") == 1);
  CHECK(count(top, "Between the runs the code differs: abc (smol); def (gem).") == 1);
  CHECK_FALSE(has(report_page(page_of({smol(), gem()})), "Between the runs the code differs"));
}

TEST_CASE("runs without records and without trials have rows too") {
  PageRun empty = smol(), bare = gem();
  for (ReportTrial& t : empty.source.trials) t.record.reset();
  bare.source.trials.clear();
  const PageRequest request = page_of({empty, bare});
  const std::string page = report_page(request);
  CHECK(first_misnested(page) == "");
  CHECK(count(page, "<tr data-run=") == 2);
  CHECK(has(row_of(page, "r0"), "4 not run"));
  CHECK(overview_in(request)["runs"][0]["parts"].empty());
  CHECK(overview_in(request)["tables"].empty());
}

TEST_CASE("texts of records cannot become markup in the overview") {
  const std::string evil = "</script><script>alert(1)</script><b a=\"'>&";
  PageRun run = smol();
  run.source.name = evil;
  run.notices = {evil};
  for (ReportTrial& t : run.source.trials) {
    t.labels[0]["quantization.method"] = evil;
    t.record->spec["model"]["name"] = evil;
    t.record->code["revision"] = evil;
    t.record->finished = evil;
    t.record->warnings = {evil};
    for (Metric& m : t.record->metrics) {
      m.protocol = evil;
      m.over = evil;
    }
  }
  const std::string page = report_page(page_of({run, run}));
  CHECK(page.find("<script>alert") == std::string::npos);
  CHECK(count(page, "<script") == 2);
  CHECK(first_misnested(page) == "");
  CHECK_NOTHROW(data_in(page));
}
