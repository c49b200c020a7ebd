#include "fixture.h"
#include "report/watch.h"
#include "support/catch.h"

using namespace stamp;
using namespace stamp::test;

namespace {

// Four trials: one done in 40 s, one failed, the third at work since 12:01:00, the fourth to come; 12:01:10 now.
WatchInput busy() {
  WatchInput in;
  in.source = grid_source();
  in.source.trials[0].record->timing_s = {{"run", 30}, {"load", 10}};
  in.source.trials[0].record->finished = "2026-01-31T12:00:40Z";
  in.source.trials[1].record->status = "failed";
  in.source.trials[1].record->metrics.clear();
  in.source.trials[1].record->failure = Failure{"nan_metric", "perplexity is nan", "evaluate"};
  in.source.trials[1].record->finished = "2026-01-31T12:00:59Z";
  in.source.trials[2].record.reset();
  in.source.trials[3].record.reset();
  in.running = {{"id", "b1"}, {"started", "2026-01-31T12:01:00Z"}, {"phase", "run"}, {"done", 2}, {"total", 8}};
  in.queue = {"a1", "a2", "b1", "b2"};
  in.at_work = true;
  in.now = *utc_seconds("2026-01-31T12:01:10Z");
  return in;
}

}  // namespace

TEST_CASE("the state of a sweep at work: counts, the trial with its phase, elapsed, left, the last outcome") {
  const WatchState s = watch_state(busy());
  CHECK(s.done == 1);
  CHECK(s.failed == 1);
  CHECK(s.left == 2);
  CHECK(s.trial == "b1");
  CHECK(s.phase == "run 2/8");
  CHECK(s.elapsed == Approx(10));
  CHECK(s.last_id == "a2");
  CHECK(s.last == "rtn, haar: failed: nan_metric");
  REQUIRE(s.remaining.has_value());
  CHECK(*s.remaining == Approx(70));  // two trials of 40 s, 10 s of them are over
}

TEST_CASE("a trial that is longer than the mean does not make the estimate negative, and no finished one gives none") {
  WatchInput in = busy();
  in.now += 1000;
  CHECK(*watch_state(in).remaining == Approx(40));
  in.source.trials[0].record->status = "failed";
  CHECK_FALSE(watch_state(in).remaining.has_value());
}

TEST_CASE("only what the run has set out to do counts for the time that is left") {
  WatchInput in = busy();
  in.queue = {"b1"};
  CHECK(*watch_state(in).remaining == Approx(30));
}

TEST_CASE("a failed trial that is tried again is at work, not failed") {
  WatchInput in = busy();
  in.running = {{"id", "a2"}, {"started", "2026-01-31T12:01:00Z"}};
  const WatchState s = watch_state(in);
  CHECK(s.failed == 0);
  CHECK(s.trial == "a2");
  CHECK(s.left == 3);
}

TEST_CASE("lines change with trial, phase and counts, not with the steps of a phase or the clock") {
  WatchInput in = busy();
  const std::string before = watch_line(watch_state(in));
  CHECK(before == "1/4 done, 1 failed; at b1 (smooth|quant, identity), run; last rtn, haar: failed: nan_metric");
  in.running["done"] = 3;
  in.now += 5;
  CHECK(watch_line(watch_state(in)) == before);
  in.running["phase"] = "evaluate";
  CHECK(watch_line(watch_state(in)) != before);
}

TEST_CASE("a sweep that is not at work has ended, or was stopped") {
  WatchInput in = busy();
  in.at_work = false;
  const WatchState stopped = watch_state(in);
  CHECK(stopped.trial.empty());
  CHECK_FALSE(stopped.remaining.has_value());
  CHECK(watch_line(stopped).find("not at work, 2 not run") != std::string::npos);
  in.source = grid_source();
  CHECK(watch_line(watch_state(in)).find("4/4 done; ended") != std::string::npos);
}

TEST_CASE("lines for a terminal keep its width and carry no control characters of records") {
  WatchInput in = busy();
  in.source.trials[1].record->failure->kind = "odd\033[2J\nkind";
  for (const std::size_t width : {30U, 80U}) {
    for (const std::string& line : watch_lines(watch_state(in), width)) {
      CHECK(line.size() <= width);
      CHECK(line.find('\033') == std::string::npos);
      CHECK(line.find('\n') == std::string::npos);
    }
  }
}

TEST_CASE("times of records are read as UTC") {
  CHECK(*utc_seconds("1970-01-02T00:00:01Z") == Approx(86401));
  CHECK_FALSE(utc_seconds("yesterday").has_value());
  CHECK_FALSE(utc_seconds("2026-01-31T12:00:00").has_value());
}
