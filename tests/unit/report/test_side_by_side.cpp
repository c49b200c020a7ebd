// What several runs measured alike, in one table.
#include "report/page_overview.h"
#include "several_runs.h"
#include "support/catch.h"

using namespace stamp;
using namespace stamp::test;

namespace {

const Json* row_in(const Json& table, const std::string& method, const std::string& transform,
                   const std::string& settings = "") {
  for (const Json& row : table["rows"])
    if (row["method"] == method && row["transform"] == transform && row["settings"] == settings) return &row;
  return nullptr;
}

std::string all_notes(const Json& table) {
  std::string out;
  for (const std::string note : table["notes"]) out += note + "\n";
  return out;
}

}  // namespace

TEST_CASE("a protocol's family is what is measured, without the model's tokenizer and without how much") {
  CHECK(protocol_family(a_protocol) == protocol_family(b_protocol));
  CHECK(protocol_family(a_protocol) == "context 64, windows, text t sha 1");
  CHECK(protocol_family("context 64, 20 windows, text t sha 1, tokenizer aa, bos start, tokens behind 32") ==
        "context 64, windows, text t sha 1, tokens behind 32");
  CHECK(protocol_family("16 images of classes in turn, 32x32, 20 steps, guidance 2, sha 82a945f2") ==
        protocol_family("8 images of classes in turn, 32x32, 20 steps, guidance 2, sha 2618646b"));
  CHECK(protocol_family("8 images of a, 32x32, 20 steps, guidance 2, sha 1") !=
        protocol_family("8 images of a, 32x32, 10 steps, guidance 2, sha 1"));
  CHECK(protocol_family("zero-shot piqa, first 100 items, file v.jsonl sha 8a, tokenizer aa, no bos, leak_free") ==
        protocol_family("zero-shot piqa, all 1838 items, file v.jsonl sha 8a, tokenizer bb, bos, leak_free"));
  CHECK(protocol_family("context 64, 4 windows, text t sha 1") !=
        protocol_family("context 32, 4 windows, text t sha 1"));
  CHECK(protocol_family("context 64, 4 windows, text t sha 1") !=
        protocol_family("context 64, 4 windows, text t sha 2"));
  CHECK(protocol_family("") == "");
}

TEST_CASE("runs of one family stand side by side, each changed against its own identity transform") {
  const PageRequest request = page_of({smol(), gem()});
  const Json tables = overview_in(request)["tables"];
  REQUIRE(tables.size() == 1);
  const Json& table = tables[0];
  REQUIRE(table["columns"].size() == 2);
  CHECK(table["columns"][0]["letter"] == "A");
  CHECK(table["columns"][1]["letter"] == "B");
  CHECK(table["columns"][1]["model"] == "gem-270m");
  CHECK(table["columns"][1]["n"].dump() == "[4]");
  CHECK(table["columns"][0]["full_precision"] == 6.25);
  REQUIRE(table["rows"].size() == 4);
  const Json* identity = row_in(table, "rtn", "identity");
  const Json* haar = row_in(table, "rtn", "haar");
  const Json* other = row_in(table, "quarot", "haar");
  REQUIRE((identity && haar && other));
  CHECK_FALSE((*identity)["cells"][0].contains("change"));
  // Losses lower by 0.975 nats on average: exp(-0.975) - 1 = -62.28%, and the interval likewise.
  const Json& smols = (*haar)["cells"][0]["change"];
  CHECK(smols["value"].get<double>() == Approx(100 * std::expm1(-0.975)));
  CHECK(smols["low"].get<double>() == Approx(100 * std::expm1(-0.975 - 3.182446 * 0.025)).epsilon(1e-4));
  CHECK(smols["high"].get<double>() == Approx(100 * std::expm1(-0.975 + 3.182446 * 0.025)).epsilon(1e-4));
  CHECK(smols["significant"] == true);
  CHECK(smols["unit"] == "%");
  // Against its own identity, not the other run's.
  const Json& gems = (*haar)["cells"][1]["change"];
  CHECK(gems["value"].get<double>() == Approx(100 * std::expm1(-0.0125)));
  CHECK(gems["significant"] == false);
  CHECK((*other)["cells"][0]["state"] == "done");
  CHECK((*other)["cells"][1]["state"] == "absent");
  check_columns_are_of_one_protocol(request);

  const std::string page = report_page(request);
  CHECK(first_misnested(page) == "");
  CHECK(count(page, "id=\"beside0-table\"") == 1);
  CHECK(count(page, "<strong>-62.3%</strong>") == 1);
  CHECK(page.find("n = 4 windows</span>") != std::string::npos);
  const std::string notes = all_notes(table);
  CHECK(notes.find("read changes across columns, not values") != std::string::npos);
  CHECK(notes.find(std::string("Protocol B: ").append(b_protocol)) != std::string::npos);
}

TEST_CASE("other metrics, contexts and texts stand in no common table, nor do the parts of one run") {
  PageRun other = gem();
  for (ReportTrial& t : other.source.trials)
    for (Metric& m : t.record->metrics) m.protocol = "context 128, 4 windows, text t sha 1, tokenizer bb, bos start";
  CHECK(overview_in(page_of({smol(), other}))["tables"].empty());
  other = gem();
  for (ReportTrial& t : other.source.trials)
    for (Metric& m : t.record->metrics) m.name = m.name == "perplexity" ? "nll" : "nll_fp";
  other.source.table.value = "nll";
  CHECK(overview_in(page_of({smol(), other}))["tables"].empty());
  PageRun mixed = smol();
  for (Metric& m : mixed.source.trials[3].record->metrics) m.protocol = b_protocol;
  PageRun apart = gem();
  apart.source.table.value = "nothing of this name";
  CHECK(overview_in(page_of({mixed, apart}))["tables"].empty());
}

TEST_CASE("a run of mixed protocols has a column for each of them, and is named below") {
  PageRun mixed = smol();
  const std::string longer = "context 64, 8 windows, text t sha 1, tokenizer aa, bos start";
  for (std::size_t i : {2, 3})
    for (Metric& m : mixed.source.trials[i].record->metrics) {
      m.protocol = longer;
      m.n = 8;
    }
  const PageRequest request = page_of({mixed, gem()});
  const Json tables = overview_in(request)["tables"];
  REQUIRE(tables.size() == 1);
  REQUIRE(tables[0]["columns"].size() == 3);
  CHECK(tables[0]["columns"][0]["n"].dump() == "[4]");
  CHECK(tables[0]["columns"][1]["n"].dump() == "[8]");
  CHECK((*row_in(tables[0], "rtn", "haar"))["cells"][1]["state"] == "absent");
  CHECK((*row_in(tables[0], "quarot", "haar"))["cells"][0]["state"] == "absent");
  check_columns_are_of_one_protocol(request);
  const std::string notes = all_notes(tables[0]);
  CHECK(notes.find("Mixed protocols in smol") != std::string::npos);
  CHECK(notes.find("Measured on different amounts: 4 windows, 8 windows.") != std::string::npos);
}

TEST_CASE("trials that failed or are missing stand in the table as such") {
  PageRun run = smol();
  run.source.trials[1].record->status = "failed";
  run.source.trials[1].record->metrics.clear();
  run.source.trials[2].record.reset();
  run.source.trials[2].missing = "no such model";
  run.source.trials[3].record.reset();
  const Json tables = overview_in(page_of({run, gem()}))["tables"];
  REQUIRE(tables.size() == 1);
  CHECK((*row_in(tables[0], "rtn", "haar"))["cells"][0]["state"] == "failed");
  CHECK((*row_in(tables[0], "rtn", "haar"))["cells"][1]["state"] == "done");
  CHECK((*row_in(tables[0], "quarot", "identity"))["cells"][0]["state"] == "missing");
  CHECK((*row_in(tables[0], "quarot", "haar"))["cells"][0]["state"] == "not run");
}

TEST_CASE("a setting that one run varies tells rows apart in all; another run's fixed value finds its row") {
  const std::string path = "quantization.allocation.high_tokens";
  PageRun varied = smol();
  varied.source.trials.resize(2);
  for (ReportTrial t : std::vector<ReportTrial>(varied.source.trials)) {
    t.id += "w";
    t.labels[0][path] = 32;
    varied.source.trials.push_back(t);
  }
  for (std::size_t i : {0, 1}) varied.source.trials[i].labels[0][path] = 64;
  // As canonical settings are: the identity transform leaves out what cannot matter to it.
  PageRun fixed = gem();
  fixed.source.trials[1].record->spec["quantization"]["allocation"] = {{"high_tokens", 64}};
  const Json tables = overview_in(page_of({varied, fixed}))["tables"];
  REQUIRE(tables.size() == 1);
  CHECK(tables[0]["rows"].size() == 4);
  const Json* same = row_in(tables[0], "rtn", "haar", "high_tokens 64");
  const Json* other = row_in(tables[0], "rtn", "haar", "high_tokens 32");
  REQUIRE((same && other));
  CHECK((*same)["cells"][0]["state"] == "done");
  CHECK((*same)["cells"][1]["state"] == "done");
  CHECK((*same)["cells"][1].contains("change"));  // its identity stands in the same row of settings
  CHECK((*other)["cells"][0]["state"] == "done");
  CHECK((*other)["cells"][1]["state"] == "absent");
}

TEST_CASE("an identity transform that a sweep gives settings of its own is still what its run is held against") {
  const std::string path = "quantization.allocation.kind";
  const auto with_kinds = [&](PageRun run) {
    run.source.table.columns.push_back(path);
    for (ReportTrial& t : run.source.trials)
      t.labels[0][path] = t.labels[0]["quantization.sequence.transform"] == "identity" ? "uniform" : "two_level";
    return run;
  };
  const Json tables = overview_in(page_of({with_kinds(smol()), with_kinds(gem())}))["tables"];
  REQUIRE(tables.size() == 1);
  const Json* haar = row_in(tables[0], "rtn", "haar", "two_level");
  REQUIRE(haar);
  CHECK((*haar)["cells"][0]["change"]["value"].get<double>() == Approx(100 * std::expm1(-0.975)));
}

TEST_CASE("decibels change by differences, not by percent") {
  const auto in_db = [](PageRun run) {
    run.source.table.value = "latent_sqnr";
    for (ReportTrial& t : run.source.trials) {
      Metric& m = t.record->metrics[0];
      m.name = "latent_sqnr";
      m.value = 10 * std::log(m.value);  // items stay as they are: their differences are the metric's own
      m.unit = "dB";
      m.lower_is_better = false;
      t.record->metrics.resize(1);
    }
    return run;
  };
  const Json tables = overview_in(page_of({in_db(smol()), in_db(gem())}))["tables"];
  REQUIRE(tables.size() == 1);
  const Json& change = (*row_in(tables[0], "rtn", "haar"))["cells"][0]["change"];
  CHECK(change["unit"] == "");
  CHECK(change["value"].get<double>() == Approx(-9.75));
  CHECK(change["low"].get<double>() == Approx(-0.975 - 3.182446 * 0.025).epsilon(1e-5));
}

TEST_CASE("settings that the columns hold fixed at different values are named below") {
  PageRun eight = gem();
  for (ReportTrial& t : eight.source.trials) t.record->spec["quantization"]["weights"] = {{"bits", 8}};
  PageRun four = smol();
  for (ReportTrial& t : four.source.trials) t.record->spec["quantization"]["weights"] = {{"bits", 4}};
  const Json table = overview_in(page_of({four, eight}))["tables"][0];
  CHECK(all_notes(table).find("quantization.weights.bits: 4 (smol), 8 (gem)") != std::string::npos);
  CHECK(all_notes(overview_in(page_of({four, four}))["tables"][0]).find("fixed at different values") ==
        std::string::npos);
}
