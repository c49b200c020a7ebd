#include <cmath>

#include "fixture.h"
#include "page_checks.h"
#include "report/html.h"
#include "report/page.h"
#include "report/page_parts.h"
#include "support/catch.h"

using namespace stamp;
using namespace stamp::test;

namespace {

SlotResult slot(const std::string& name, const std::string& kind, double error) {
  SlotResult s;
  s.name = name;
  s.kind = kind;
  s.sums.samples = 1;
  s.sums.tokens = 8;
  s.sums.features = 4;
  s.sums.group = 4;
  s.sums.signal = 100;
  s.sums.error = error;
  s.sums.b1 = 10;
  s.sums.b3 = 2;
  s.sums.worst_ratio = error / 10;
  s.average_bits = 4.5;
  s.bands = RowBands{{0, 1, 8}, {9, 1}, {0.1, 0.2}, {8, 4}};
  return s;
}

PageRequest request() {
  PageRequest r;
  PageRun run;
  run.folder = "runs/toy";
  run.source = grid_source();
  for (ReportTrial& t : run.source.trials)
    t.record->slots = {slot("layers.0.attention.qkv_proj.input", "linear input", 1),
                       slot("layers.0.attention.o_proj.input", "linear input", 0.5),
                       slot("layers.1.attention.o_proj.input", "linear input", 0.01),
                       slot("layers.0.attention.key_cache", "key cache", 2)};
  r.runs.push_back(run);
  r.made = "2026-01-31T12:00:00Z";
  r.program = "a program";
  return r;
}

}  // namespace

TEST_CASE("the data inside the page are those of the records") {
  const Json data = data_in(report_page(request()));
  REQUIRE(data["runs"].size() == 1);
  const Json& run = data["runs"][0];
  CHECK(run["name"] == "toy & co_1");
  CHECK(run["counts"]["done"] == 4);
  REQUIRE(run["trials"].size() == 4);
  CHECK(run["trials"][0]["id"] == "a1");
  CHECK(run["trials"][0]["value"] == 668.12);
  CHECK(run["trials"][0]["full_precision"] == 6.25);
  CHECK(run["trials"][1]["sees_ahead"] == true);
  CHECK(run["trials"][2]["settings"]["quantization.method"] == "smooth|quant");
  CHECK(run["notes"].size() > 0);
}

TEST_CASE("the heat map holds every slot by layer and kind, caches where a pass meets them") {
  const Json heat = data_in(report_page(request()))["runs"][0]["heat"];
  CHECK(heat["layers"] == Json({"0", "1"}));
  CHECK(heat["kinds"] == Json({"attention.qkv_proj", "attention.key_cache", "attention.o_proj"}));
  CHECK(heat["measures"][0]["key"] == "ratio");
  CHECK(heat["measures"][0]["low"] == 0.001);
  CHECK(heat["measures"][0]["high"] == 0.2);
  CHECK(heat["trials"]["a1"][0] == Json({{0.1, 0.2, 0.05}, {nullptr, nullptr, 0.001}}));
  CHECK(heat["trials"]["a1"][3][0][0] == 0.5);  // error / B3
}

TEST_CASE("shades run from good to bad over the range, on a logarithmic scale for ratios") {
  const HeatMap::Measure& ratio = HeatMap::measures()[0];
  const HeatMap::Measure& sqnr = HeatMap::measures()[2];
  CHECK(heat_shade(ratio, 0.001, 1, 0.001) == 0);
  CHECK(heat_shade(ratio, 0.001, 1, 1) == 8);
  CHECK(heat_shade(ratio, 0.001, 1, std::sqrt(0.001)) == 4);
  CHECK(heat_shade(sqnr, 10, 40, 40) == 0);
  CHECK(heat_shade(sqnr, 10, 40, 10) == 8);
  CHECK(heat_shade(ratio, 0, 0, 0) == 0);
  CHECK(heat_shade(ratio, 0.001, 1, std::nan("")) == -1);
  CHECK(heat_text(sqnr, 21.51) == "21.5");
  CHECK(heat_text(ratio, 0.0001234) == "1.2e-04");
}

TEST_CASE("the page is whole HTML, asks nothing of any network, and is the same from the same records") {
  const std::string page = report_page(request());
  CHECK(first_misnested(page) == "");
  CHECK(page == report_page(request()));
  for (const char* outside : {"http://", "https://", "src=\"//", "@import", "url("}) {
    CAPTURE(outside);
    CHECK(page.find(outside) == std::string::npos);
  }
  CHECK(page.find("default-src 'none'") != std::string::npos);
  for (const char* part : {"r0-table", "r0-figures", "r0-heat", "r0-trials", "r0-provenance"}) {
    CAPTURE(part);
    CHECK(count(page, std::string("id=\"") + part) >= 1);
  }
  CHECK(count(page, "<svg") == 2);  // values, energies
}

TEST_CASE("texts of records cannot become markup or scripts") {
  PageRequest r = request();
  const std::string evil = "</script><script>alert(1)</script><b a=\"'>&\x01\xff";
  r.runs[0].source.name = evil;
  r.runs[0].folder = evil;
  r.runs[0].source.trials[0].labels[0]["quantization.method"] = evil;
  r.runs[0].source.trials[0].record->warnings = {evil};
  r.runs[0].source.trials[0].record->metrics[0].protocol = evil;
  r.runs[0].source.trials[1].record->status = "failed";
  r.runs[0].source.trials[1].record->failure = Failure{evil, evil, evil};
  r.runs[0].source.trials[2].record->slots[0].name = "layers.0." + evil;
  r.runs[0].notices = {evil};
  r.runs[0].source.excluded = {{labels(evil, evil), evil}};
  const std::string page = report_page(r);
  CHECK(page.find("<script>alert") == std::string::npos);
  CHECK(page.find('\xff') == std::string::npos);
  CHECK(page.find('\x01') == std::string::npos);
  CHECK(count(page, "<script") == 2);
  CHECK(first_misnested(page) == "");
  CHECK_NOTHROW(data_in(page));
}

TEST_CASE("UTF-8 passes, everything else becomes a replacement character") {
  CHECK(html_text("a<b> & \"c\" 'd'") == "a&lt;b&gt; &amp; &quot;c&quot; &#39;d&#39;");
  CHECK(html_text("Δ † 😀") == "Δ † 😀");
  CHECK(html_text("\xc0\xaf") == "\xEF\xBF\xBD\xEF\xBF\xBD");                  // overlong
  CHECK(html_text("\xed\xa0\x80") == "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");  // a surrogate
  CHECK(html_text("\xe2\x82") == "\xEF\xBF\xBD\xEF\xBF\xBD");                  // cut off
  CHECK(data_uri("Man", "x/y") == "data:x/y;base64,TWFu");
  CHECK(data_uri("Ma", "x/y") == "data:x/y;base64,TWE=");
  CHECK(data_uri("M", "x/y") == "data:x/y;base64,TQ==");
  CHECK(data_uri("", "x/y") == "data:x/y;base64,");
}

TEST_CASE("failed, missing and pending trials, damaged lines and smoke runs are shown as such") {
  PageRequest r = request();
  ReportSource& s = r.runs[0].source;
  s.trials[0].record->status = "failed";
  s.trials[0].record->metrics.clear();
  s.trials[0].record->failure = Failure{"nan_metric", "perplexity is nan", "evaluate"};
  s.trials[1].record.reset();
  s.trials[2].record.reset();
  s.trials[2].missing = "model not found: m.gguf";
  s.smoke = true;
  r.runs[0].notices = {"records.jsonl:3: the last line is torn (12 bytes, an interrupted write); not counted"};
  r.runs[0].no_paper = "no entry \"x\"";
  const std::string page = report_page(r);
  const Json run = data_in(page)["runs"][0];
  CHECK(run["counts"]["failed"] == 1);
  CHECK(run["counts"]["missing"] == 1);
  CHECK(run["counts"]["not_run"] == 1);
  CHECK(run["trials"][0]["failure"]["kind"] == "nan_metric");
  CHECK(run["notices"].size() == 1);
  for (const char* part :
       {"Failed trials:", "perplexity is nan", "the last line is torn", "model not found: m.gguf", "A smoke run",
        "<b>No paper values:</b> no entry", "<span class=\"state failed\">1 failed</span>"}) {
    CAPTURE(part);
    CHECK(page.find(part) != std::string::npos);
  }
}

TEST_CASE("mixed protocols have no table and mark every trial; meant ones do not") {
  PageRequest r = request();
  r.runs[0].source.trials[1].record->metrics[0].protocol = "context 32, 4 windows";
  const std::string page = report_page(r);
  CHECK(data_in(page)["runs"][0]["mixed_protocols"] == true);
  CHECK(page.find("There is no table.") != std::string::npos);
  CHECK(page.find("Protocol A: ") != std::string::npos);
  CHECK(page.find("Protocol B: ") != std::string::npos);
  CHECK(first_misnested(page) == "");
  for (ReportTrial& t : r.runs[0].source.trials) t.labels[0]["data.context"] = 64;
  r.runs[0].source.trials[1].labels[0]["data.context"] = 32;
  CHECK(data_in(report_page(r))["runs"][0]["mixed_protocols"] == false);
}

TEST_CASE("a run without records, and a plan without trials, are pages too") {
  PageRequest r = request();
  for (ReportTrial& t : r.runs[0].source.trials) t.record.reset();
  std::string page = report_page(r);
  CHECK(page.find("This run has no records.") != std::string::npos);
  CHECK(first_misnested(page) == "");
  r.runs[0].source.trials.clear();
  page = report_page(r);
  CHECK(first_misnested(page) == "");
  CHECK(data_in(page)["runs"][0]["trials"].empty());
}

TEST_CASE("paper values stand beside ours, several runs under each other with ids of their own") {
  PageRequest r = request();
  PaperEntry paper;
  paper.id = "toy_table.x";
  paper.source = "a paper, Table 2";
  paper.protocol = "WikiText-2";
  paper.values = {{{{"quantization.method", "rtn"}, {"quantization.sequence.transform", "haar"}}, "perplexity", 100}};
  r.runs[0].paper = paper;
  r.runs.push_back(r.runs[0]);
  const std::string page = report_page(r);
  CHECK(count(page, ">100.0</td><td class=\"num paper\">-4.7%</td>") == 2);
  CHECK(count(page, "id=\"r0-trials\"") == 1);
  CHECK(count(page, "id=\"r1-trials-table\"") == 1);
  CHECK(count(page, "id=\"r1-heat-table\"") == 1);
  CHECK(data_in(page)["runs"].size() == 2);
}

TEST_CASE("figures are taken in as data, explanations as they are") {
  PageRequest r = request();
  r.runs[0].figures = {{"bound", "image/png", "PNG!"}};
  r.runs[0].explanations = {{"rtn on toy", "<svg class=\"block\"></svg>", "a < b", {"a1", "b1"}}};
  const std::string page = report_page(r);
  CHECK(page.find("data:image/png;base64,UE5HIQ==") != std::string::npos);
  CHECK(page.find("<svg class=\"block\"></svg>") != std::string::npos);
  CHECK(page.find("<pre>a &lt; b</pre>") != std::string::npos);
  CHECK(page.find("2 trials") != std::string::npos);
}

TEST_CASE("figures of other records are named as left out") {
  PageRequest r = request();
  CHECK(report_page(r).find("Left out:") == std::string::npos);
  r.runs[0].stale_figures = {"bound", "curves-<1>"};
  CHECK(report_page(r).find("<b>Left out:</b> bound, curves-&lt;1&gt;.") != std::string::npos);
}

TEST_CASE("every method keeps its colour whatever else is drawn") {
  CHECK(method_colour("rtn") == 0);
  CHECK(method_colour("flatquant") == 7);
  CHECK(method_colour("somebody's") == 8);
  CHECK(method_colour("fp") == 9);
}
