#include "engine/hidden_rows.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include "base/error.h"
#include "support/catch.h"
#include "support/scratch.h"

using namespace stamp;

namespace {

void fill(HiddenRows& store, float offset) {
  for (std::int64_t i = 0; i < store.count(); ++i) {
    const MatrixView rows = store.item(i);
    for (std::int64_t j = 0; j < rows.rows * rows.cols; ++j) rows.data[j] = offset + static_cast<float>(1000 * i + j);
    store.rest(i);
  }
}

bool filled(HiddenRows& store, float offset) {
  bool same = true;
  for (std::int64_t i = 0; i < store.count(); ++i) {
    const MatrixView rows = store.item(i);
    for (std::int64_t j = 0; j < rows.rows * rows.cols; ++j)
      same = same && rows.data[j] == offset + static_cast<float>(1000 * i + j);
  }
  return same;
}

// Kilobytes of this process that lie in files it has mapped.
std::int64_t resident_file_kib() {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);)
    if (line.rfind("RssFile:", 0) == 0 || line.rfind("RssShmem:", 0) == 0) {
      std::int64_t n = 0;
      std::istringstream(line.substr(line.find(':') + 1)) >> n;
      if (n > 0) return n;
    }
  return 0;
}

std::string message_of(const std::vector<std::int64_t>& rows, std::int64_t width, const fs::path& folder) {
  try {
    const HiddenRows store(rows, width, std::make_shared<RowBudget>(0, folder));
  } catch (const TrialError& e) {
    return e.kind() + ": " + e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("rows come back from memory and from the scratch file") {
  const test::Scratch scratch;
  const std::vector<std::int64_t> rows{3, 1, 700, 64};
  for (const std::uint64_t budget : {std::uint64_t{1} << 30, std::uint64_t{0}}) {
    HiddenRows store(rows, 24, std::make_shared<RowBudget>(budget, scratch.path() / "deeper"));
    CHECK(store.on_disk() == (budget == 0));
    REQUIRE(store.count() == 4);
    CHECK(store.item(2).rows == 700);
    CHECK(store.item(2).stride == 24);
    CHECK(store.item(1).data[23] == 0);
    fill(store, 0.5f);
    CHECK(filled(store, 0.5f));
    fill(store, -7);  // over what rests in the file
    CHECK(filled(store, -7));
  }
}

TEST_CASE("the scratch file has no name and goes with the store") {
  const test::Scratch scratch;
  {
    HiddenRows store({4096, 4096}, 1024, std::make_shared<RowBudget>(0, scratch.path()));
    CHECK(store.on_disk());
    CHECK(fs::is_empty(scratch.path()));
  }
  CHECK(fs::is_empty(scratch.path()));
}

TEST_CASE("items at rest do not count as this process's memory") {
  const test::Scratch scratch;
  HiddenRows store({1 << 14, 1 << 14, 1 << 14, 1 << 14}, 1024, std::make_shared<RowBudget>(0, scratch.path()));
  REQUIRE(store.on_disk());  // 4 x 64 MiB
  const std::int64_t before = resident_file_kib();
  for (std::int64_t i = 0; i < store.count(); ++i) {
    const MatrixView rows = store.item(i);
    std::fill(rows.data, rows.data + rows.rows * rows.cols, 1.0f);
    CHECK(resident_file_kib() - before >= 60 * 1024);
    store.rest(i);
    CHECK(resident_file_kib() - before < 8 * 1024);
  }
  CHECK(store.item(3).data[5] == 1.0f);
}

TEST_CASE("a budget is shared, and returned when a store goes") {
  const test::Scratch scratch;
  const auto budget = std::make_shared<RowBudget>(3 * 65536, scratch.path());
  {
    const HiddenRows first({16}, 1024, budget), second({32}, 1024, budget), third({16}, 1024, budget);
    CHECK_FALSE(first.on_disk());
    CHECK_FALSE(second.on_disk());
    CHECK(third.on_disk());
  }
  const HiddenRows again({48}, 1024, budget);
  CHECK_FALSE(again.on_disk());
}

TEST_CASE("a disk that is too small shows at once, with what is needed and what is free") {
  const test::Scratch scratch;
  const std::string message = message_of({std::int64_t{1} << 32}, std::int64_t{1} << 12, scratch.path());
  CHECK(message.rfind("disk_full: ", 0) == 0);
  CHECK(message.find("need 70368.7 GB") != std::string::npos);
  CHECK(message.find(scratch.path().string()) != std::string::npos);
  CHECK(message.find("free") != std::string::npos);
  CHECK(message.find("model.rows_memory_gb") != std::string::npos);
  CHECK(fs::is_empty(scratch.path()));
}

TEST_CASE("a scratch folder that cannot be made is a store error") {
  const test::Scratch scratch;
  test::spill(scratch.path() / "file", "in the way");
  CHECK_THROWS_AS(HiddenRows({4}, 4, std::make_shared<RowBudget>(0, scratch.path() / "file" / "sub")), StoreError);
}

TEST_CASE("TMPDIR wins over the cache folder") {
  const char* old = std::getenv("TMPDIR");
  const std::string kept = old == nullptr ? "" : old;
  setenv("TMPDIR", "/somewhere", 1);
  CHECK(scratch_folder("/cache") == "/somewhere");
  unsetenv("TMPDIR");
  CHECK(scratch_folder("/cache") == "/cache/scratch");
  if (old != nullptr) setenv("TMPDIR", kept.c_str(), 1);
}
