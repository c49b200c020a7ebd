#include <limits>

#include "fixture.h"
#include "report/changes.h"
#include "support/catch.h"

using namespace stamp;
using namespace stamp::test;

namespace {

std::vector<Record> four() {
  return {done("a1", "rtn", "identity", 10), done("a2", "rtn", "haar", 8), done("a3", "quarot", "haar", 5),
          done("a4", "quarot", "dct", 7)};
}

}  // namespace

TEST_CASE("changes stand by their size, and what has no partner is named") {
  std::vector<Record> now = four();
  now[1].metrics[0].value = 8.4;
  now[2].metrics[0].value = 4;
  now[3].status = "failed";
  now.push_back(done("a5", "smoothquant", "dct", 3));
  const Changes c = changes(four(), now, "perplexity");
  REQUIRE(c.trials.size() == 3);
  CHECK(c.trials[0].id == "a3");
  CHECK(c.trials[0].label == "method=quarot, transform=haar");
  CHECK(c.trials[0].relative == Approx(-0.2));
  CHECK(c.trials[1].relative == Approx(0.05));
  CHECK_FALSE(c.trials[2].moved());
  CHECK(c.only_before.size() == 1);
  CHECK(c.only_now.size() == 2);
  CHECK(changes_line(c) ==
        "2 of 3 trials moved, perplexity by at most -20.0% (method=quarot, transform=haar); 1 trial only before; 2 "
        "trials only now");
  const auto rows = change_rows(c);
  REQUIRE(rows.size() == 4);
  CHECK(rows[1] == std::vector<std::string>{"a3", "method=quarot, transform=haar", "5.000", "4.000", "-20.0%"});
  CHECK(rows[3].back() == "equal");
}

TEST_CASE("equal runs are unchanged; a change in a late digit is one") {
  CHECK(changes_line(changes(four(), four(), "perplexity")) == "unchanged: perplexity of 4 trials");
  std::vector<Record> now = four();
  now[0].metrics[0].value = 10.000001;
  const Changes c = changes(four(), now, "perplexity");
  CHECK(c.trials[0].moved());
  CHECK(change_rows(c)[1].back() == "+1e-05%");
}

TEST_CASE("values of other protocols come first and are not subtracted") {
  std::vector<Record> now = four();
  now[3].metrics[0].protocol = "other";
  const Changes c = changes(four(), now, "perplexity");
  CHECK(c.trials[0].id == "a4");
  CHECK(c.trials[0].moved());
  CHECK(changes_line(c) == "1 trial not comparable, protocols differ");
  CHECK(change_rows(c)[1].back().find("protocols differ") == 0);
}

TEST_CASE("from zero there is no ratio; no number stays no number; a metric that is not there is said") {
  std::vector<Record> before{done("a", "rtn", "haar", 0)}, now{done("a", "rtn", "haar", 0.5)};
  Changes c = changes(before, now, "perplexity");
  CHECK(c.trials[0].moved());
  CHECK(changes_line(c).find("1 of 1 trial moved, perplexity from ") == 0);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  before[0].metrics[0].value = now[0].metrics[0].value = nan;
  CHECK_FALSE(changes(before, now, "perplexity").trials[0].moved());
  now[0].metrics[0].value = 1;
  CHECK(changes(before, now, "perplexity").trials[0].moved());
  c = changes(before, now, "latent_sqnr");
  CHECK(c.without == 1);
  CHECK(change_rows(c).empty());
  CHECK(changes_line(c) == "no trial to compare by latent_sqnr; 1 trial without latent_sqnr on both sides");
}
