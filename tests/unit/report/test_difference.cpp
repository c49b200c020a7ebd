#include <cmath>

#include "fixture.h"
#include "report/difference.h"
#include "report/table.h"
#include "support/catch.h"

using namespace stamp;
using namespace stamp::test;

namespace {

// One row of two transforms with the given losses of four windows.
ReportSource row_of(const std::vector<double>& identity, const std::vector<double>& haar) {
  ReportSource s;
  s.name = "pairs";
  s.table.rows = {"quantization.method"};
  s.table.columns = {"quantization.sequence.transform"};
  s.trials = {trial("a1", "rtn", "identity", 20), trial("a2", "rtn", "haar", 15)};
  s.trials[0].record->metrics[0].items = identity;
  s.trials[1].record->metrics[0].items = haar;
  return s;
}

bool says(const Table& t, const std::string& part) {
  for (const std::string& n : t.notes)
    if (n.find(part) != std::string::npos) return true;
  return false;
}

}  // namespace

TEST_CASE("a paired difference needs the same finite items on both sides, two at least") {
  const auto d = paired_difference(std::vector<double>{1, 2, 3, 4}, std::vector<double>{1.1, 2.5, 3.2, 4.4});
  REQUIRE(d.has_value());
  CHECK(d->mean == Approx(0.3));
  CHECK(d->items == 4);
  CHECK(d->significant());  // [0.0095, 0.5905], see test_compare
  CHECK(d->better(false));
  CHECK_FALSE(d->better(true));
  CHECK_FALSE(paired_difference(std::vector<double>{1}, std::vector<double>{2}).has_value());
  CHECK_FALSE(paired_difference(std::vector<double>{1, 2}, std::vector<double>{2}).has_value());
  CHECK_FALSE(paired_difference(std::vector<double>{1, NAN}, std::vector<double>{2, 3}).has_value());
  Record a = done("a", "rtn", "identity", 1), b = done("b", "rtn", "haar", 2);
  a.metrics[0].items = b.metrics[0].items = {1, 2};
  CHECK(paired_difference(a, b, "perplexity").has_value());
  b.metrics[0].protocol = "another";
  CHECK_FALSE(paired_difference(a, b, "perplexity").has_value());
}

TEST_CASE("the better value is bold only where its paired interval excludes 0") {
  // Windows differ by more than the transforms do: unpaired intervals would overlap, the pairs decide.
  const Table clear = make_table(row_of({2.0, 3.0, 4.0, 5.0}, {1.8, 2.8, 3.8, 4.79}), "", nullptr);
  CHECK(clear.rows[1].cells[1].best);
  CHECK_FALSE(clear.rows[1].cells[0].best);
  CHECK(says(clear, "better than every other value of it"));
  const Table chance = make_table(row_of({2.0, 3.0, 4.0, 5.0}, {1.0, 3.2, 3.0, 5.1}), "", nullptr);
  CHECK_FALSE(chance.rows[1].cells[0].best);
  CHECK_FALSE(chance.rows[1].cells[1].best);
}

TEST_CASE("without items to pair a value is bold where its own interval overlaps no other") {
  ReportSource s = grid_source();
  const auto interval = [&](std::size_t t, double low, double high) {
    Metric& m = s.trials[t].record->metrics[0];
    m.low = low;
    m.high = high;
  };
  interval(0, 600, 700);
  interval(1, 90, 120);
  interval(2, 30, 35);
  interval(3, 31, 36);
  const Table t = make_table(s, "", nullptr);
  CHECK(t.rows[1].cells[1].best);
  CHECK_FALSE(t.rows[1].cells[0].best);
  CHECK_FALSE(t.rows[2].cells[0].best);  // a tie as shown, and overlapping
  CHECK_FALSE(t.rows[2].cells[1].best);
}

TEST_CASE("a trial that stands in two columns is not held against itself") {
  ReportSource s = row_of({2.0, 3.0, 4.0, 5.0}, {1.8, 2.8, 3.8, 4.79});
  s.trials[1].labels.push_back(labels("rtn", "wht"));
  const Table t = make_table(s, "", nullptr, true);
  CHECK(t.rows[1].cells[1].best);
  CHECK(t.rows[1].cells[2].best);
}

TEST_CASE("differences go to the identity column, or to the first, and say so") {
  const Table t = make_table(row_of({2.0, 3.0, 4.0, 5.0}, {1.8, 2.8, 3.8, 4.79}), "", nullptr, true);
  REQUIRE(t.with_difference);
  CHECK(t.baseline == 0);
  REQUIRE(t.rows[1].cells[1].difference.has_value());
  CHECK(t.rows[1].cells[1].difference->mean == Approx(-0.2025));
  CHECK_FALSE(t.rows[1].cells[0].difference.has_value());
  CHECK(says(t, "in nats per token"));
  const std::string text = markdown(t);
  CHECK(text.find("Δ identity") != std::string::npos);
  CHECK(text.find("**-0.20") != std::string::npos);
  CHECK(latex(t).find("$\\Delta$ identity") != std::string::npos);
  CHECK(csv(t).find("baseline,paired_mean,paired_low,paired_high,paired_items") != std::string::npos);
  const Table plain = make_table(row_of({}, {}), "", nullptr, true);
  CHECK(says(plain, "no differences"));
  CHECK(markdown(make_table(row_of({1, 2}, {2, 3}), "", nullptr)).find("Δ") == std::string::npos);
}

TEST_CASE("means over repeats pair over the repeats that both have, by their number and not by their order") {
  ReportSource s = row_of({2.0, 3.0, 4.0, 5.0}, {1.8, 2.8, 3.8, 4.8});
  s.trials[1].labels[0]["repeat"] = 0;
  ReportTrial again = trial("a3", "rtn", "haar", 16);
  again.record->metrics[0].items = {1.9, 2.9, 3.9, 4.9};
  again.labels[0]["repeat"] = 1;
  s.trials.push_back(again);
  s.trials[0].labels[0]["repeat"] = 0;
  // One repeat in common is no pair of repeats, however many items it has.
  CHECK_FALSE(make_table(s, "", nullptr, true).rows[1].cells[1].difference.has_value());
  ReportTrial first = trial("a4", "rtn", "identity", 16);
  first.record->metrics[0].items = {2.1, 3.1, 4.1, 5.1};
  first.labels[0]["repeat"] = 1;
  s.trials.insert(s.trials.begin(), first);
  const Table t = make_table(s, "", nullptr, true);
  const TableRow& row = t.rows.back();
  const TableCell& cell = row.cells[0].difference ? row.cells[0] : row.cells[1];
  REQUIRE(cell.difference.has_value());
  CHECK(cell.difference->items == 2);
  CHECK(cell.difference->mean == Approx(-0.2));
  CHECK(cell.difference->low == Approx(-0.2));  // both repeats differ by the same
}

TEST_CASE("a trial's baseline differs from it in the table's columns alone") {
  ReportSource s = grid_source();
  CHECK(baseline_of(s, s.trials[1]) == &s.trials[0]);
  CHECK(baseline_of(s, s.trials[3]) == &s.trials[2]);
  CHECK(baseline_of(s, s.trials[0]) == nullptr);
  s.trials[0].record->status = "failed";
  CHECK(baseline_of(s, s.trials[1]) == nullptr);
  s.table.columns.clear();
  CHECK(baseline_of(s, s.trials[3]) == nullptr);
}
