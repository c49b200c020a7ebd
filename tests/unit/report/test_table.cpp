#include <cstdlib>

#include "base/error.h"
#include "fixture.h"
#include "report/notes.h"
#include "report/table.h"
#include "support/catch.h"
#include "support/scratch.h"

using namespace stamp;
using namespace stamp::test;

namespace {

// STAMP_WRITE_GOLDEN=1 writes the files anew; a change of them is then read in the diff.
void check_golden(const std::string& name, const std::string& text) {
  const std::filesystem::path path =
      std::filesystem::path(STAMP_SOURCE_DIR) / "tests" / "unit" / "report" / "golden" / name;
  if (std::getenv("STAMP_WRITE_GOLDEN")) spill(path, text);
  CAPTURE(name);
  CHECK(text == slurp(path));
}

// Everything at once: escapes, an excluded cell, a failed one, a missing one, one not run, ties, intervals, a paper.
ReportSource busy_source() {
  ReportSource s = grid_source();
  s.trials[1].record->metrics[0].low = 90.0;
  s.trials[1].record->metrics[0].high = 101.5;
  ReportTrial failed = trial("c1", "quarot", "identity", 0);
  failed.record->status = "failed";
  failed.record->metrics.clear();
  failed.record->failure = Failure{"nan_metric", "nan", "evaluate"};
  ReportTrial missing;
  missing.id = "c2";
  missing.labels = {labels("quarot", "haar")};
  missing.missing = "model not found: m_1.gguf";
  ReportTrial pending;
  pending.id = "d1";
  pending.labels = {labels("gptq", "identity")};
  s.trials.push_back(failed);
  s.trials.push_back(missing);
  s.trials.push_back(pending);
  s.excluded = {{labels("gptq", "haar"), "not in the paper's table"}};
  return s;
}

PaperEntry paper() {
  PaperEntry p;
  p.id = "toy_table.x";
  p.source = "a paper, Table 2";
  p.protocol = "WikiText-2";
  p.values = {{Json::object(), "perplexity_fp", 6.14},
              {{{"quantization.method", "rtn"}, {"quantization.sequence.transform", "identity"}}, "perplexity", 600},
              {{{"quantization.method", "rtn"}, {"quantization.sequence.transform", "haar"}}, "perplexity", 100}};
  return p;
}

}  // namespace

TEST_CASE("golden tables: Markdown, LaTeX, CSV") {
  const PaperEntry p = paper();
  const Table with = make_table(busy_source(), "", &p);
  check_golden("paper.md", markdown(with));
  check_golden("paper.tex", latex(with));
  check_golden("paper.csv", csv(with));
  const Table plain = make_table(grid_source(), "grid", nullptr);
  check_golden("plain.md", markdown(plain));
  check_golden("plain.tex", latex(plain));
  const Table list = make_table(busy_source(), "long", nullptr);
  check_golden("long.md", markdown(list));
  check_golden("long.csv", csv(list));
}

TEST_CASE("values are shown with four digits") {
  CHECK(value_text(24.1454) == "24.15");
  CHECK(value_text(335.49) == "335.5");
  CHECK(value_text(1061.8) == "1062");
  CHECK(value_text(99723) == "99723");
  CHECK(value_text(0.012345) == "0.01235");  // a tie in binary is none
  CHECK(value_text(-3.0) == "-3.000");
  CHECK(value_text(0) == "0");
  CHECK(value_text(std::nan("")) == "nan");
}

TEST_CASE("one sample has no deviation, several repeats have one") {
  ReportSource s = grid_source();
  CHECK_FALSE(make_table(s, "", nullptr).rows[1].cells[0].deviation.has_value());
  s.trials[0].labels[0]["repeat"] = 0;
  ReportTrial again = trial("a1r", "rtn", "identity", 672.12);
  again.labels[0]["repeat"] = 1;
  s.trials.push_back(again);
  const Table t = make_table(s, "", nullptr);
  const TableCell& cell = t.rows[1].cells[0];  // after the reference row
  CHECK(cell.samples == 2);
  CHECK(cell.value == Approx(670.12));
  CHECK(*cell.deviation == Approx(std::sqrt(8.0)));
  CHECK(markdown(t).find("670.1 ± 2.828 (2)") != std::string::npos);
}

TEST_CASE("seeds that the table names under `average` are repeats; without it they split the rows") {
  ReportSource s = grid_source();
  for (ReportTrial& t : s.trials) t.labels[0]["calibration.seed"] = 0;
  ReportTrial again = trial("a1r", "rtn", "identity", 672.12);
  again.labels[0]["calibration.seed"] = 1;
  s.trials.push_back(again);
  CHECK(make_table(s, "", nullptr).row_heads == std::vector<std::string>{"method", "seed"});
  s.table.average = {"calibration.seed"};
  const Table t = make_table(s, "", nullptr);
  CHECK(t.row_heads == std::vector<std::string>{"method"});
  CHECK(t.rows[1].cells[0].samples == 2);
  CHECK(t.rows[1].cells[0].value == Approx(670.12));
  CHECK(t.rows[1].cells[1].samples == 1);
  CHECK(markdown(t).find("standard deviation over n values of calibration.seed") != std::string::npos);
}

TEST_CASE("a mean over seeds is bold only where the seeds agree, however well its items do") {
  const auto source = [](double third) {
    ReportSource s = grid_source();
    s.trials.clear();
    s.table.average = {"calibration.seed"};
    const double identity[] = {700, 702, 698}, haar[] = {640, 641, third};
    for (int seed = 0; seed < 3; ++seed)
      for (const bool second : {false, true}) {
        ReportTrial t = trial((second ? "h" : "i") + std::to_string(seed), "rtn", second ? "haar" : "identity",
                              second ? haar[seed] : identity[seed]);
        t.labels[0]["calibration.seed"] = seed;
        // Items that would settle it at once if draws were not counted.
        t.record->metrics[0].items = {second ? 1.0 : 2.0, second ? 1.01 : 2.02, second ? 0.99 : 2.01};
        for (double& item : t.record->metrics[0].items) item += t.record->metrics[0].value - (second ? 1 : 2);
        s.trials.push_back(t);
      }
    return s;
  };
  const Table agree = make_table(source(639), "", nullptr, true), differ = make_table(source(720), "", nullptr, true);
  CHECK(agree.rows.back().cells[1].best);
  CHECK_FALSE(differ.rows.back().cells[1].best);
  CHECK(agree.rows.back().cells[1].difference->items == 3);
  CHECK(agree.rows.back().cells[1].difference->mean == Approx(-60).epsilon(0.01));
  CHECK(markdown(agree).find("paired over the repeats instead") != std::string::npos);
  // One draw against three: nothing pairs, so nothing is bold.
  ReportSource one = source(639);
  std::erase_if(one.trials, [](const ReportTrial& t) { return t.id == "i1" || t.id == "i2"; });
  CHECK_FALSE(make_table(one, "", nullptr).rows.back().cells[1].best);
}

TEST_CASE("ties as shown are both best; a lone value is not called best") {
  const Table t = make_table(grid_source(), "", nullptr);
  CHECK(t.rows[0].reference);
  CHECK(t.rows[2].cells[0].best);
  CHECK(t.rows[2].cells[1].best);  // 33.333 and 33.334 both read 33.33
  CHECK_FALSE(t.rows[1].cells[0].best);
  CHECK_FALSE(t.rows[0].cells[0].best);
  ReportSource up = grid_source();
  for (ReportTrial& x : up.trials) x.record->metrics[0].lower_is_better = false;
  CHECK(make_table(up, "", nullptr).rows[1].cells[0].best);
}

TEST_CASE("a setting that varies without being named splits the rows, and is never averaged over") {
  ReportSource s = grid_source();
  for (ReportTrial& t : s.trials) t.labels[0]["quantization.sequence.skip_first"] = 1;
  ReportTrial other = trial("e1", "rtn", "haar", 200);
  other.labels[0]["quantization.sequence.skip_first"] = 0;
  s.trials.push_back(other);
  const Table t = make_table(s, "", nullptr);
  CHECK(t.row_heads == std::vector<std::string>{"method", "skip_first"});
  CHECK(markdown(t).find("Rows are also split by quantization.sequence.skip\\_first") != std::string::npos);
  for (const TableRow& row : t.rows)
    for (const TableCell& c : row.cells) CHECK(c.ids.size() <= 1);
}

TEST_CASE("a merged trial stands in every place it was asked for") {
  ReportSource s = grid_source();
  s.trials[0].labels.push_back(labels("rtn", "wht"));
  const Table t = make_table(s, "", nullptr);
  CHECK(t.columns == std::vector<std::string>{"identity", "wht", "haar"});
  CHECK(t.rows[1].cells[0].value == t.rows[1].cells[1].value);
}

TEST_CASE("different protocols do not share a column, unless what makes them different is named") {
  ReportSource s = grid_source();
  s.trials[1].record->metrics[0].protocol = "context 32, 4 windows";
  try {
    make_table(s, "", nullptr);
    FAIL("mixed protocols were accepted");
  } catch (const ConfigError& e) {
    CHECK(std::string(e.what()).find("context 32") != std::string::npos);
    CHECK(std::string(e.what()).find("context 64") != std::string::npos);
  }
  for (ReportTrial& t : s.trials) t.labels[0]["data.context"] = 64;
  s.trials[1].labels[0]["data.context"] = 32;
  CHECK_NOTHROW(make_table(s, "", nullptr));
}

TEST_CASE("unknown layouts and metrics are refused with what there is") {
  ReportSource s = grid_source();
  CHECK_THROWS_AS(make_table(s, "gird", nullptr), ConfigError);
  s.table.value = "sqnr";
  try {
    make_table(s, "", nullptr);
    FAIL("an unknown metric was accepted");
  } catch (const ConfigError& e) {
    CHECK(std::string(e.what()).find("perplexity, perplexity_fp") != std::string::npos);
  }
  for (ReportTrial& t : s.trials) t.record.reset();
  CHECK_NOTHROW(markdown(make_table(s, "", nullptr)));  // nothing has run: a table of empty cells
}

TEST_CASE("every caveat a careful reader needs is under the table") {
  ReportSource s = grid_source();
  const auto has = [&](const std::string& part) {
    for (const std::string& n : reader_notes(s, "perplexity"))
      if (n.find(part) != std::string::npos) return true;
    return false;
  };
  CHECK(has("Measured on 4 windows only"));
  CHECK(has("weights 4, activations 4.125, KV cache 4.125"));
  for (const char* absent : {"Dirty", "build", "Mixed", "stores weights", "failed", "FINDING", "smoke"})
    CHECK_FALSE(has(absent));
  Record& r = *s.trials[0].record;
  r.code["dirty"] = true;
  CHECK(has("Dirty code: 1 trial"));
  r.code["build"] = "Debug";
  CHECK(has("Debug build"));
  r.code["revision"] = "def";
  CHECK(has("Mixed revisions"));
  r.hardware["cpu"] = "another cpu";
  CHECK(has("Mixed hardware"));
  r.threads = 4;
  CHECK(has("Mixed thread counts"));
  r.model = {{"name", "toy"}, {"types", {{"F32", 61}, {"Q4_1", 210}}}};
  CHECK(has("stores weights as Q4_1"));
  r.warnings = {"something odd"};
  CHECK(has("something odd (1 trial)"));
  r.spec["data"]["windows"] = 0;
  for (ReportTrial& t : s.trials) t.record->spec["data"]["windows"] = 0;
  CHECK_FALSE(has("Measured on"));
  s.smoke = true;
  CHECK(has("smoke run"));
  s.left_out = 2;
  CHECK(has("2 records of an earlier version"));
}

TEST_CASE("a transform along the sequence is marked, identity and full precision are not") {
  CHECK(sees_ahead(done("x", "rtn", "haar", 1)));
  CHECK_FALSE(sees_ahead(done("x", "rtn", "identity", 1)));
  Record full = done("x", "rtn", "haar", 1);
  full.spec["quantization"].erase("sequence");  // cannot matter, so it is not in the canonical settings
  CHECK_FALSE(sees_ahead(full));
}

TEST_CASE("a mean over the whole sequence sees ahead, one from calibration does not") {
  Record r = done("x", "rtn", "identity", 1);
  r.spec["quantization"]["activations"]["bits"] = 4;
  r.spec["quantization"]["activations"]["shift"] = "calibrated";
  CHECK_FALSE(sees_ahead(r));
  r.spec["quantization"]["activations"]["shift"] = "sequence";
  CHECK(sees_ahead(r));
  Record centred = done("y", "hadanorm", "identity", 1);
  centred.spec["quantization"]["activations"]["bits"] = 4;
  CHECK(sees_ahead(centred));
}

TEST_CASE("a value that counted its own bits shows them, and none that is leak-free is marked") {
  ReportSource s = grid_source();
  for (ReportTrial& t : s.trials) {
    Metric& m = t.record->metrics[0];
    m.over = "items";
    m.activation_bits = 4.21;
    m.leak_free = true;
  }
  const std::string text = markdown(make_table(s, "", nullptr));
  CHECK(text.find("668.1 (A 4.21)") != std::string::npos);
  CHECK(text.find("(A n): average bits of the activation rows behind the value") != std::string::npos);
  CHECK(text.find("†") == std::string::npos);
  CHECK(csv(make_table(s, "", nullptr)).find(",no,4.21,a1") != std::string::npos);
  s.trials[1].record->metrics[0].leak_free = false;
  CHECK(markdown(make_table(s, "", nullptr)).find("**95.31** (A 4.21)†") != std::string::npos);
}

TEST_CASE("a row names the options of its own method only, and a trial merged from several of them counts once") {
  ReportSource s = grid_source();
  s.table.rows = {"quantization.method", "quantization.smoothquant.alpha"};
  s.trials = {trial("a1", "rtn", "identity", 10), trial("b1", "smoothquant", "identity", 8),
              trial("b2", "smoothquant", "identity", 9)};
  const std::string alpha = "quantization.smoothquant.alpha";
  s.trials[0].labels.push_back(s.trials[0].labels[0]);  // the axis does not touch rtn: one trial, two cells
  s.trials[0].labels[0][alpha] = 0.5;
  s.trials[0].labels[1][alpha] = 0.85;
  s.trials[1].labels[0][alpha] = 0.5;
  s.trials[2].labels[0][alpha] = 0.85;
  const Table t = make_table(s, "", nullptr);
  std::vector<std::vector<std::string>> rows;
  for (const TableRow& row : t.rows)
    if (!row.reference) rows.push_back(row.labels);
  CHECK(rows == std::vector<std::vector<std::string>>{{"rtn", ""}, {"smoothquant", "0.5"}, {"smoothquant", "0.85"}});
  const TableCell& rtn = t.rows[t.rows.size() - 3].cells[0];
  CHECK(rtn.samples == 1);
  CHECK(rtn.value == 10);
}

TEST_CASE("of transforms chosen slot by slot those count that some slot got") {
  Record r = done("a", "rtn", "per_slot", 10);
  CHECK(sees_ahead(r));  // nothing is known of the slots
  r.transforms = {{"layers.0.mlp.down_proj.input", "identity"}, {"layers.1.mlp.down_proj.input", "identity"}};
  CHECK_FALSE(sees_ahead(r));
  r.transforms["layers.1.mlp.down_proj.input"] = "haar/1";
  CHECK(sees_ahead(r));
  r.spec["images"] = Json::object();
  CHECK_FALSE(sees_ahead(r));
  CHECK(sees_ahead(done("a", "rtn", "haar", 10)));
  CHECK_FALSE(sees_ahead(done("a", "rtn", "identity", 10)));
}

TEST_CASE("a transform that has no level mixes nothing and is not marked") {
  Record r = done("a", "rtn", "haar", 10);
  Json& q = r.spec["quantization"];
  q["sequence"] = {{"transform", "haar"}, {"skip_first", 1}, {"levels", "auto"}};
  q["allocation"] = {{"kind", "uniform"}};
  r.spec["data"]["context"] = 128;
  CHECK_FALSE(sees_ahead(r));  // 127 rows, 64 of them assumed to be high ones
  r.spec["data"]["context"] = 129;
  CHECK(sees_ahead(r));
  r.spec["data"]["context"] = 64;
  q["allocation"] = {{"kind", "two_level"}, {"high_tokens", "s/8"}};
  CHECK(sees_ahead(r));
  q["allocation"]["high_tokens"] = 64;
  CHECK_FALSE(sees_ahead(r));
  r.spec["zero_shot"] = Json::object();  // questions of any length
  CHECK(sees_ahead(r));
  q["sequence"]["levels"] = 0;
  CHECK_FALSE(sees_ahead(r));
  q["sequence"] = {{"transform", "wavelet"}, {"levels", "auto"}, {"family", "of another version"}};
  r.spec.erase("zero_shot");
  CHECK(sees_ahead(r));
}

TEST_CASE("without a value no direction is called better") {
  ReportSource s = grid_source();
  for (ReportTrial& t : s.trials) t.record.reset();
  s.table.value = "latent_sqnr";
  const std::string text = markdown(make_table(s, "", nullptr));
  CHECK(text.find("is better") == std::string::npos);
  CHECK(text.find("* latent\\_sqnr: no value yet.") != std::string::npos);
}

TEST_CASE("a finished trial without the metric is a dash with its reason, not one that was not run") {
  ReportSource s = grid_source();
  s.table.value = "slot_sqnr";
  for (ReportTrial& t : s.trials) t.record->metrics[0].name = "slot_sqnr";
  s.trials[0].record->metrics.erase(s.trials[0].record->metrics.begin());
  const Table t = make_table(s, "", nullptr);
  CHECK(t.rows[0].cells[0].state == TableCell::State::absent);
  const std::string text = markdown(t);
  CHECK(text.find("not run") == std::string::npos);
  CHECK(
      text.find("–: 1 finished trial has no slot\\_sqnr: where nothing is quantized or lost the ratio is infinite.") !=
      std::string::npos);
  CHECK(csv(t).find("rtn,identity,slot_sqnr,absent,,") != std::string::npos);
  s.trials[0].record.reset();
  CHECK(make_table(s, "", nullptr).rows[0].cells[0].state == TableCell::State::pending);
}

TEST_CASE("one trial that stands in all places of its row is not better than others, and not bold") {
  ReportSource s = grid_source();
  s.trials = {trial("a1", "rtn", "identity", 10), trial("b1", "quarot", "identity", 9),
              trial("b2", "quarot", "haar", 8)};
  s.trials[0].labels.push_back(labels("rtn", "haar"));
  for (const bool items : {false, true}) {
    if (items)
      for (ReportTrial& t : s.trials) {
        const double v = t.record->metrics[0].value;
        t.record->metrics[0].items = {v, v + 0.1, v - 0.1, v};
      }
    const Table t = make_table(s, "", nullptr);
    CHECK_FALSE(t.rows[1].cells[0].best);
    CHECK_FALSE(t.rows[1].cells[1].best);
    CHECK(t.rows[2].cells[1].best);
  }
}
