// kill -9 at random moments: no trial is lost, none is doubled.
#include <signal.h>

#include <fstream>
#include <set>
#include <thread>

#include "base/seed.h"
#include "sandbox.h"
#include "support/catch.h"

using namespace stamp;
using namespace stamp::test;

namespace {

void sleep_ms(std::uint64_t ms) {
  std::this_thread::sleep_for(std::chrono::milliseconds(ms));
}

// The worker holds the lock's descriptor; its process group is its own.
pid_t worker_of(pid_t front) {
  std::ifstream in("/proc/" + std::to_string(front) + "/task/" + std::to_string(front) + "/children");
  pid_t pid = 0;
  in >> pid;
  return pid;
}

// 0 when the front program ended without one.
pid_t wait_for_worker(pid_t front) {
  for (int i = 0; i < 5000; ++i) {
    const pid_t worker = worker_of(front);
    if (worker > 0) return worker;
    std::ifstream state("/proc/" + std::to_string(front) + "/stat");
    const std::string text((std::istreambuf_iterator<char>(state)), {});
    if (text.empty() || contains(text, ") Z ")) return 0;
    sleep_ms(1);
  }
  return 0;
}

// Every finished trial once, every value its own.
void check_complete(const Sandbox& box, std::size_t trials) {
  const ReadRecords records = box.records();
  CHECK(records.notices.empty());
  CHECK(records.records.size() == trials);
  std::size_t done_lines = 0;
  std::ifstream in(box.run_folder() / "records.jsonl");
  for (std::string line; std::getline(in, line);) done_lines += Json::parse(line)["status"] == "done";
  CHECK(done_lines == trials);
  for (const Record& r : records.records) {
    CHECK(r.status == "done");
    CHECK(r.metrics.at(0).value == 20 + static_cast<double>(std::stoull(r.id, nullptr, 16) % 1000) / 10);
  }
}

// Two methods, four offsets for two transforms; identity does not care about the offset and merges: 18 trials.
std::string long_experiment() {
  std::string text = experiment_text;
  text.replace(text.find("[identity, haar, dct]"), 21,
               "[identity, haar, dct]\n    quantization.sequence.skip_first: [0, 1, 2, 4]");
  return text;
}

}  // namespace

TEST_CASE("the front program killed at 24 random moments") {
  const Sandbox box;
  box.write("experiment.yaml", long_experiment());
  RandomStream random(11, "kill the front");
  std::size_t killed = 0, seen = 0;
  for (int round = 0; round < 24; ++round) {
    const pid_t pid = box.start({"run", "experiment.yaml"}, {{"FAKE_DELAY_MS", "15"}});
    if (round % 2 == 0) wait_for_worker(pid);  // else: anywhere, the start included
    sleep_ms(random.below(40));
    kill(pid, SIGKILL);
    const Ended ended = box.wait(pid);
    if (ended.signal == SIGKILL)
      ++killed;
    else
      CHECK(ended.code == 0);
    // Whole lines survive, and never fewer than before.
    const std::size_t now = box.records().records.size();
    CHECK(now >= seen);
    seen = now;
  }
  CHECK(killed >= 10);
  const Ended last = box.stamp({"run", "experiment.yaml"});
  INFO(last.err);
  REQUIRE(last.code == 0);
  check_complete(box, 18);
}

TEST_CASE("the worker killed at 24 random moments") {
  RandomStream random(12, "kill the worker");
  std::size_t killed = 0, in_trial = 0;
  // On a loaded machine the worker may have finished before the kill, or not begun; such rounds hold no less, but
  // do not count.
  for (int round = 0; (killed < 24 || in_trial < 5) && round < 96; ++round) {
    const Sandbox box;  // the front program finishes what is left, so every round needs its own folder
    const pid_t front = box.start({"run", "experiment.yaml"}, {{"FAKE_DELAY_MS", "20"}});
    const pid_t worker = wait_for_worker(front);
    sleep_ms(random.below(100));
    if (worker > 0 && kill(worker, SIGKILL) == 0) ++killed;
    const Ended ended = box.wait(front);
    INFO(ended.err);
    // Killed in a trial: recorded as a failure. Between two: nothing is lost. Before the first: told as our fault.
    CHECK((ended.code == 0 || ended.code == 3 || ended.code == 1));
    if (ended.code == 1) CHECK(contains(ended.err, "before its first trial"));
    if (ended.code == 3) {
      ++in_trial;
      CHECK(contains(ended.err, "worker_crash"));
    }
    if (ended.code != 1) CHECK(box.records().lines == 6);
    CHECK(box.records().notices.empty());
    REQUIRE(box.stamp({"run", "experiment.yaml"}).code == 0);
    check_complete(box, 6);
  }
  CHECK(killed >= 24);
  CHECK(in_trial >= 5);
}

TEST_CASE("the worker dies with its front program") {
  const Sandbox box;
  const pid_t front = box.start({"run", "experiment.yaml"}, {{"FAKE_DELAY_MS", "10000"}});
  for (int i = 0; i < 300 && !std::filesystem::exists(box.run_folder() / "running.json"); ++i) sleep_ms(10);
  const pid_t worker = worker_of(front);
  REQUIRE(worker > 0);
  kill(front, SIGKILL);
  box.wait(front);
  bool gone = false;
  for (int i = 0; i < 300 && !gone; ++i) {
    std::ifstream state("/proc/" + std::to_string(worker) + "/stat");
    std::string text((std::istreambuf_iterator<char>(state)), {});
    gone = text.empty() || contains(text, ") Z ");  // gone, or waiting for init to notice
    if (!gone) sleep_ms(10);
  }
  CHECK(gone);
}
