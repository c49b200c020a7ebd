#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <sstream>

#include "base/error.h"
#include "base/seed.h"
#include "results/read_records.h"
#include "results/store.h"
#include "support/catch.h"
#include "support/scratch.h"

using namespace stamp;
using stamp::test::Scratch;
using stamp::test::slurp;
using stamp::test::spill;

namespace {

Record simple(const std::string& id, double value, const std::string& status = "done") {
  Record r;
  r.id = id;
  r.status = status;
  r.spec = Json::object();
  Metric m;
  m.name = "perplexity";
  m.value = value;
  r.metrics.push_back(m);
  return r;
}

}  // namespace

TEST_CASE("records come back in order, the newest of an id wins") {
  const Scratch dir;
  const RunStore store(dir.path() / "run");
  store.make_folders();
  store.test_write();
  CHECK(store.read().records.empty());
  store.append(simple("a", 1, "failed"));
  store.append(simple("b", 2));
  store.append(simple("a", 3));
  const ReadRecords read = store.read();
  REQUIRE(read.records.size() == 2);
  CHECK(read.lines == 3);
  CHECK(read.records[0].id == "a");
  CHECK(read.records[0].status == "done");
  CHECK(read.records[0].metrics[0].value == 3);
  CHECK(read.find("b") != nullptr);
  CHECK(read.find("c") == nullptr);
  CHECK(read.notices.empty());
}

TEST_CASE("a line torn at any byte is never a result and never joins the next one") {
  const Scratch dir;
  const std::string line = to_json(simple("b", 2)).dump();
  for (std::size_t cut = 1; cut <= line.size(); cut += 7) {
    CAPTURE(cut);
    const RunStore store(dir.path() / std::to_string(cut));
    store.make_folders();
    store.append(simple("a", 1));
    const std::string whole = slurp(store.records_path());
    spill(store.records_path(), whole + line.substr(0, cut));

    const ReadRecords read = store.read();
    REQUIRE(read.records.size() == 1);
    REQUIRE(read.notices.size() == 1);
    CHECK(read.notices[0].find("records.jsonl:2") != std::string::npos);
    CHECK(slurp(store.records_path()) == whole + line.substr(0, cut));  // reading changes nothing

    store.append(simple("c", 3));
    const ReadRecords after = store.read();
    CHECK(after.records.size() == 2);
    CHECK(after.notices.empty());
    CHECK(slurp(store.folder() / "records.torn") == line.substr(0, cut) + "\n");
  }
}

TEST_CASE("repair says what it did, and does nothing to a whole file") {
  const Scratch dir;
  const RunStore store(dir.path());
  CHECK_FALSE(store.repair().has_value());
  store.append(simple("a", 1));
  CHECK_FALSE(store.repair().has_value());
  spill(store.records_path(), "{\"schema\":1");
  const auto said = store.repair();
  REQUIRE(said.has_value());
  CHECK(said->find("11 bytes") != std::string::npos);
  CHECK(slurp(store.records_path()).empty());
}

TEST_CASE("a damaged line in the middle is reported with its number, the others are read") {
  const Scratch dir;
  const RunStore store(dir.path());
  store.append(simple("a", 1));
  const std::string first = slurp(store.records_path());
  spill(store.records_path(), first + std::string(20, '\0') + "\n" + "{\"schema\": 9}\n\n");
  store.append(simple("b", 2));
  const ReadRecords read = store.read();
  CHECK(read.records.size() == 2);
  REQUIRE(read.notices.size() == 3);
  CHECK(read.notices[0].find("records.jsonl:2:") != std::string::npos);
  CHECK(read.notices[1].find("records.jsonl:3:") != std::string::npos);
  CHECK(read.notices[1].find("schema 9") != std::string::npos);
  CHECK(read.notices[2].find("records.jsonl:4:") != std::string::npos);
}

TEST_CASE("slots can be left out when reading") {
  const Scratch dir;
  const RunStore store(dir.path());
  Record r = simple("a", 1);
  r.slots.resize(2);
  r.slots[0].name = "x";
  r.failure = Failure{"k", "m", "p"};
  store.append(r);
  CHECK(store.read(true).records[0].slots.size() == 2);
  const ReadRecords light = store.read(false);
  REQUIRE(light.records.size() == 1);
  CHECK(light.records[0].slots.empty());
  CHECK(light.records[0].metrics.size() == 1);
  CHECK(light.records[0].failure.has_value());
}

TEST_CASE("two runs on one folder: the second is refused and told where") {
  const Scratch dir;
  const RunStore store(dir.path());
  const auto held = store.lock();
  try {
    store.lock();
    FAIL("a second lock was given");
  } catch (const StoreError& e) {
    CHECK(std::string(e.what()).find(dir.path().string()) != std::string::npos);
    CHECK(e.code() == ExitCode::store);
  }
}

TEST_CASE("a file in place of the folder is a store error") {
  const Scratch dir;
  spill(dir.path() / "file", "x");
  CHECK_THROWS_AS(RunStore(dir.path() / "file").make_folders(), StoreError);
  CHECK_THROWS_AS(RunStore(dir.path() / "file" / "below").make_folders(), StoreError);
}

TEST_CASE("a full disk is a store error") {
  if (!std::filesystem::exists("/dev/full")) return;
  const Scratch dir;
  const RunStore store(dir.path());
  std::filesystem::create_symlink("/dev/full", store.records_path());
  CHECK_THROWS_AS(store.append(simple("a", 1)), StoreError);
}

TEST_CASE("a writer killed at random moments leaves whole lines and at most one torn one") {
  const Scratch dir;
  RandomStream random(7, "kill the writer");
  const RunStore store(dir.path());
  std::size_t seen = 0;
  for (int round = 0; round < 20; ++round) {
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      Record r = simple("x", 1);
      r.warnings.assign(2000, "a long line takes longer to write");
      for (int i = 0;; ++i) {
        r.id = std::to_string(round) + "-" + std::to_string(i);
        try {
          store.append(r);
        } catch (...) {
          _exit(9);
        }
      }
    }
    usleep(static_cast<useconds_t>(500 + random.below(8000)));
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    REQUIRE(WIFSIGNALED(status));
    store.repair();
    const ReadRecords read = store.read();
    CHECK(read.notices.empty());
    CHECK(read.records.size() >= seen);
    CHECK(read.records.size() == read.lines);
    seen = read.records.size();
  }
  CHECK(seen > 0);
}

TEST_CASE("records are read from any text as from a run folder's file") {
  const std::string one = to_json(simple("a", 1)).dump(), two = to_json(simple("a", 2)).dump();
  std::istringstream text(one + "\nnot json\n" + two + "\n" + two.substr(0, 9));
  const ReadRecords read = read_records(text, "packed.gz", true);
  REQUIRE(read.records.size() == 1);
  CHECK(read.records[0].metrics.at(0).value == 2);
  CHECK(read.lines == 3);
  REQUIRE(read.notices.size() == 2);
  CHECK(read.notices[0].find("packed.gz:2: not a whole JSON line") == 0);
  CHECK(read.notices[1].find("packed.gz:4: the last line is torn") == 0);
}
