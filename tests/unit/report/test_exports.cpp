#include <sqlite3.h>

#include <cmath>

#include "base/error.h"
#include "base/text.h"
#include "fixture.h"
#include "report/export.h"
#include "report/plot_data.h"
#include "report/table.h"
#include "support/catch.h"
#include "support/scratch.h"

using namespace stamp;
using namespace stamp::test;

namespace {

ReportSource with_slots() {
  ReportSource s = grid_source();
  s.trials.resize(1);
  SlotResult slot;
  slot.name = "layers.7.mlp.down_proj.input";
  slot.kind = "linear input";
  slot.high_tokens = 1;
  slot.sums.samples = 2;
  slot.sums.tokens = 2;
  slot.sums.features = 4;
  slot.sums.group = 4;
  slot.sums.row_energy = {6, 2};
  slot.sums.row_error = {1, 1};
  slot.sums.row_bits = {16, 8};
  slot.sums.signal = 8;
  slot.sums.error = 2;
  slot.sums.b1 = 4;
  s.trials[0].record->slots = {slot, slot};
  s.trials[0].record->slots[1].sums.row_energy = {600, 200};
  s.trials[0].record->slots[1].theorem = "symmetric grid";
  return s;
}

std::vector<std::vector<std::string>> rows(const std::string& csv) {
  std::vector<std::vector<std::string>> out;
  for (const std::string& line : split(csv, '\n'))
    if (!line.empty()) out.push_back(split(line, ','));
  return out;
}

std::string at(const std::vector<std::vector<std::string>>& table, std::size_t row, const std::string& column) {
  for (std::size_t i = 0; i < table[0].size(); ++i)
    if (table[0][i] == column) return table[row][i];
  return "no such column";
}

}  // namespace

TEST_CASE("plot data hold what the records hold") {
  const ReportSource s = with_slots();
  const auto bars = rows(perplexity_csv(s, "perplexity"));
  REQUIRE(bars.size() == 2);
  CHECK(at(bars, 1, "method") == "rtn");
  CHECK(at(bars, 1, "value") == "668.12");
  CHECK(at(bars, 1, "fp") == "6.25");
  CHECK(at(bars, 1, "low").empty());

  const auto bound = rows(bound_csv(s));
  REQUIRE(bound.size() == 3);
  CHECK(at(bound, 1, "layer") == "7");
  CHECK(at(bound, 1, "ratio") == "0.5");
  CHECK(at(bound, 1, "bits") == "6");
  CHECK(at(bound, 1, "energy_share") == "0.75");
  CHECK(at(bound, 1, "theorem") == "holds");
  CHECK(at(bound, 2, "theorem") == "symmetric grid");

  const auto energy = rows(energy_csv(s));
  REQUIRE(energy.size() == 3);  // two rows, one kind
  CHECK(at(energy, 1, "slots") == "2");
  CHECK(at(energy, 1, "energy") == "151.5");  // (3 + 300) / 2: two samples
  CHECK(at(energy, 1, "relative") == "1.5");  // the same in both slots, whatever their scale
  CHECK(at(energy, 2, "relative") == "0.5");
  CHECK(at(energy, 2, "samples") == "2");
}

namespace {

// Two traced images of two steps each.
ReportSource with_images() {
  ReportSource s = with_slots();
  Record& r = *s.trials[0].record;
  r.spec["images"] = {{"count", 3}};
  r.data = {{"steps", 2}, {"images", 3}, {"protocol", "3 images"}};
  r.metrics = {metric("latent_sqnr", 7.5), metric("noise_sqnr", 14, {10, 12, 16, 18}), metric("way_sqnr", 9, {11, 7})};
  for (Metric& m : r.metrics) m.over = m.name == "latent_sqnr" ? "images" : "steps";
  r.slots[0].name = "transformer_blocks.4.attn1.to_q.input";
  r.slots[1].name = "transformer_blocks.4.ff.net.2.input";
  r.slots[1].sums.error = 0.08;
  return s;
}

}  // namespace

TEST_CASE("plot data of images hold every step, every block and where the pictures lie") {
  const ReportSource s = with_images();
  const auto steps = rows(steps_csv(s));
  REQUIRE(steps.size() == 3);
  CHECK(at(steps, 1, "step") == "0");
  CHECK(at(steps, 1, "images") == "2");
  CHECK(at(steps, 1, "noise_sqnr") == "13");  // (10 + 16) / 2: items stand image by image
  CHECK(at(steps, 2, "noise_low") == "12");
  CHECK(at(steps, 2, "noise_high") == "18");
  CHECK(at(steps, 2, "way_sqnr") == "7");

  const auto blocks = rows(blocks_csv(s));
  REQUIRE(blocks.size() == 2);
  CHECK(at(blocks, 1, "block") == "4");
  CHECK(at(blocks, 1, "slots") == "2");
  CHECK(at(blocks, 1, "signal") == "16");
  CHECK(at(blocks, 1, "error") == "2.08");
  CHECK(std::stod(at(blocks, 1, "mean_sqnr_db")) == Approx(10 * std::log10(4) / 2 + 10 * std::log10(100) / 2));
  CHECK(at(blocks, 1, "least_slot") == "transformer_blocks.4.attn1.to_q.input");

  const auto images = rows(images_csv(s));
  REQUIRE(images.size() == 2);
  CHECK(at(images, 1, "folder") == "../files/a1");
  CHECK(at(images, 1, "latent_sqnr") == "7.5");
  CHECK(at(images, 1, "class_accuracy").empty());
  CHECK(at(images, 1, "protocol") == "3 images");
}

namespace {

// A method at four numbers of high rows with two seeds, and one trial that spreads its bits evenly.
ReportSource with_numbers() {
  ReportSource s;
  s.table.value = "perplexity";
  int n = 0;
  for (int seed : {0, 1})
    for (int high : {16, 32, 64, 128}) {
      ReportTrial t = trial(std::string("t").append(std::to_string(n++)), "rtn", "haar", 100.0 - high + seed);
      t.labels[0]["quantization.allocation.high_tokens"] = high;
      t.labels[0]["calibration.seed"] = seed;
      t.record->averages["activation_bits"] = 4 + 4.0 * high / 2048;
      s.trials.push_back(t);
    }
  ReportTrial even = trial("even", "rtn", "haar", 150);
  even.labels[0]["quantization.allocation.kind"] = "uniform";
  even.record->averages["activation_bits"] = 4.0;
  s.trials.push_back(even);
  for (ReportTrial& t : s.trials)
    if (t.id != "even") t.labels[0]["quantization.allocation.kind"] = "two_level";
  return s;
}

}  // namespace

TEST_CASE("curves stand over the average bits where these vary, and leave out what sets them and seeds") {
  const auto table = rows(curves_csv(with_numbers()));
  REQUIRE(table.size() == 1 + 9);
  CHECK(table[0].back() == "over");  // behind the protocol, which has commas
  CHECK(table[1].back() == "windows");
  CHECK(at(table, 1, "axis") == "average bits");
  CHECK(at(table, 1, "x") == "4.03125");
  CHECK(at(table, 1, "value") == "84");
  CHECK(at(table, 1, "series") == "kind=two_level");
  CHECK(at(table, 9, "series") == "kind=uniform");
  CHECK(at(table, 9, "x") == "4");
}

TEST_CASE("curves stand over any number of three values; two are no curve") {
  ReportSource s = with_numbers();
  for (ReportTrial& t : s.trials) {
    t.record->averages["activation_bits"] = 4.0;
    if (t.id != "even")
      t.labels[0]["quantization.sequence.levels"] = t.labels[0]["quantization.allocation.high_tokens"];
    t.labels[0].erase("quantization.allocation.high_tokens");
  }
  const auto table = rows(curves_csv(s));
  REQUIRE(table.size() == 1 + 8);  // the even one has no levels
  CHECK(at(table, 8, "axis") == "quantization.sequence.levels");
  CHECK(at(table, 8, "x") == "128");
  CHECK(rows(curves_csv(grid_source())).size() == 1);
}

TEST_CASE("a run of texts has plot files of texts, one of images those of images") {
  const auto names = [](const ReportSource& source) {
    std::vector<std::string> out;
    for (const PlotFile& file : plot_files(source)) out.push_back(file.name);
    return out;
  };
  CHECK(names(with_slots()) == std::vector<std::string>{"perplexity.csv", "bound.csv", "energy.csv"});
  CHECK(names(with_images()) ==
        std::vector<std::string>{"bound.csv", "energy.csv", "images.csv", "steps.csv", "blocks.csv"});
}

TEST_CASE("an image's values carry no mark for looking ahead: its tokens are not predicted from each other") {
  ReportSource s = with_images();
  s.trials[0].record->spec["quantization"]["sequence"]["transform"] = "haar2d";
  s.table.value = "latent_sqnr";
  const Table table = make_table(s, "grid", nullptr);
  for (const TableRow& row : table.rows)
    for (const TableCell& cell : row.cells) CHECK_FALSE(cell.sees_ahead);
}

TEST_CASE("CSV fields are quoted where they have to be") {
  CHECK(csv_field("plain") == "plain");
  CHECK(csv_field("a,b") == "\"a,b\"");
  CHECK(csv_field("say \"x\"") == "\"say \"\"x\"\"\"");
  CHECK(csv_field("two\nlines") == "\"two\nlines\"");
}

TEST_CASE("export: one row a metric, one for a failure; SQLite holds the same") {
  std::vector<Record> records{done("0001", "rtn", "haar", 5.5), done("0002", "quarot", "haar", 4.5)};
  Record failed = done("0003", "rtn", "dct", 0);
  failed.status = "failed";
  failed.metrics.clear();
  failed.failure = Failure{"nan_metric", "it, \"says\" nan", "evaluate"};
  records.push_back(failed);
  const ExportRows table = export_rows({{"0001", "toy"}, {"0002", "older"}}, records);
  CHECK(table.rows.size() == 5);
  CHECK(table.rows[0][0] == "toy");
  CHECK(table.rows[2][0] == "older");
  CHECK(table.rows[4][0].empty());
  const std::string csv = export_csv(table);
  CHECK(csv.find("\"it, \"\"says\"\" nan\"") != std::string::npos);

  const Scratch dir;
  const fs::path file = dir.path() / "x.sqlite";
  spill(file, export_sqlite(table));
  sqlite3* db = nullptr;
  REQUIRE(sqlite3_open(file.c_str(), &db) == SQLITE_OK);
  sqlite3_stmt* query = nullptr;
  REQUIRE(sqlite3_prepare_v2(
              db, "SELECT id, value, \"quantization.method\" FROM metrics WHERE metric = 'perplexity' ORDER BY value",
              -1, &query, nullptr) == SQLITE_OK);
  REQUIRE(sqlite3_step(query) == SQLITE_ROW);
  CHECK(std::string(reinterpret_cast<const char*>(sqlite3_column_text(query, 0))) == "0002");
  CHECK(sqlite3_column_double(query, 1) == 4.5);
  CHECK(std::string(reinterpret_cast<const char*>(sqlite3_column_text(query, 2))) == "quarot");
  sqlite3_finalize(query);
  // Columns of numbers are such without any value: `low` here, whose metrics have no interval.
  REQUIRE(sqlite3_prepare_v2(db,
                             "SELECT group_concat(name || ' ' || type) FROM pragma_table_info('metrics') WHERE name IN "
                             "('low', 'high', 'unit', 'failure_kind', 'id')",
                             -1, &query, nullptr) == SQLITE_OK);
  REQUIRE(sqlite3_step(query) == SQLITE_ROW);
  CHECK(std::string(reinterpret_cast<const char*>(sqlite3_column_text(query, 0))) ==
        "id TEXT,unit TEXT,low REAL,high REAL,failure_kind TEXT");
  sqlite3_finalize(query);
  sqlite3_close(db);
}
