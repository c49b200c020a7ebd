#include <algorithm>
#include <cstdlib>
#include <set>

#include "base/error.h"
#include "base/sha256.h"
#include "data/text.h"
#include "data/wikitext.h"
#include "support/catch.h"
#include "support/message.h"
#include "support/paths.h"
#include "support/scratch.h"

using namespace stamp;
using stamp::test::data_error;
using stamp::test::lacks;
using stamp::test::Scratch;
using stamp::test::spill;

namespace {

// Sets $STAMP_DATA for one test.
class DataFolder {
 public:
  explicit DataFolder(const std::string& folder) {
    if (const char* was = std::getenv("STAMP_DATA")) before_ = was;
    setenv("STAMP_DATA", folder.c_str(), 1);
  }
  ~DataFolder() {
    if (before_.empty())
      unsetenv("STAMP_DATA");
    else
      setenv("STAMP_DATA", before_.c_str(), 1);
  }
  DataFolder(const DataFolder&) = delete;
  DataFolder& operator=(const DataFolder&) = delete;

 private:
  std::string before_;
};

}  // namespace

TEST_CASE("rows of WikiText are joined as the papers do it", "[data]") {
  CHECK(joined_rows("").empty());
  CHECK(joined_rows(" \n = Title = \n \n text\n") == "\n\n = Title = \n\n\n\n\n text\n");
  CHECK(joined_rows("a\nb") == "a\n\n\nb\n");
  CHECK(joined_rows("\n") == "");
}

TEST_CASE("WikiText-2 test joined is the text everybody evaluates on", "[data]") {
  Text text;
  try {
    text = load_text("wikitext2-test", "");
  } catch (const DataError& error) {
    WARN("skipped: " << error.what());
    return;
  }
  CHECK(text.name == "wikitext2-test");
  CHECK(text.protocol == "rows joined");
  CHECK(text.content.size() == 1296370);
  CHECK(text.digest == "696cca6b65a171b0a358a4be6732cdfdf2dd6164a32e20fd70e3c13fc4dfae83");
}

TEST_CASE("$STAMP_DATA comes first, with the folder's own names or WikiText's", "[data]") {
  const Scratch scratch;
  const DataFolder data(scratch.path().string());
  CHECK(text_folders().front() == scratch.path().string());
  spill(scratch.path() / "wikitext-2-raw" / "wiki.test.raw", " = A = \n");
  spill(scratch.path() / "python-topics.txt", "first paragraph\n\nmiddle paragraph\n\nlast paragraph\n");
  CHECK(load_text("wikitext2-test", "").content == " = A = \n");
  CHECK(load_text("english", "").name == "wikitext2-test");
  CHECK(resolve_text("english", "") == "wikitext2-test");
  const Text topics = load_text("python-topics", "/nowhere");
  CHECK(topics.content == "first paragraph\n\nmiddle paragraph\n\n");
  CHECK(topics.protocol == "one string");
  CHECK(topics.digest == sha256_hex(topics.content));
  // Calibration never reads what evaluation reads, and nothing is lost between the two.
  CHECK(load_text("python-topics-train", "").content == "last paragraph\n");
}

TEST_CASE("a path is read relative to the experiment file", "[data]") {
  const Scratch scratch;
  spill(scratch.path() / "mine.txt", "own text");
  spill(scratch.path() / "rows.raw", "a\n \n");
  const Text text = load_text("mine.txt", scratch.path().string());
  CHECK(text.name == "mine.txt");
  CHECK(text.content == "own text");
  CHECK(load_text((scratch.path() / "mine.txt").string(), "/nowhere").content == "own text");
  CHECK(load_text("rows.raw", scratch.path().string()).content == "a\n\n\n");
  CHECK(resolve_text("./mine.txt", scratch.path().string()) == (scratch.path() / "mine.txt").string());
}

TEST_CASE("texts that cannot be read say why", "[data]") {
  const Scratch scratch;
  spill(scratch.path() / "empty.txt", "");
  const std::string base = scratch.path().string();
  CHECK(lacks(data_error([&] { load_text("wikitext2-tset", base); }), "did you mean \"wikitext2-test\"") == "");
  CHECK(lacks(data_error([&] { load_text("empty.txt", base); }), "is empty") == "");
  CHECK(lacks(data_error([&] { load_text(base, ""); }), "not a regular file") == "");
  CHECK(lacks(data_error([&] { resolve_text("gone.txt", base); }), "gone.txt") == "");
}

TEST_CASE("every known text has a summary and a source", "[data]") {
  std::set<std::string> names;
  for (const PluginInfo& info : known_texts()) {
    CHECK_FALSE(info.summary.empty());
    CHECK_FALSE(info.source.empty());
    CHECK(names.insert(info.name).second);
  }
  for (const char* name :
       {"wikitext2-test", "wikitext2-train", "python-topics", "python-topics-train", "english", "english-train"})
    CHECK(names.count(name) == 1);
}

TEST_CASE("windows from the start", "[data]") {
  CHECK(window_starts(100, {10, 3, false, 0}, "t") == std::vector<std::int64_t>{0, 10, 20});
  CHECK(window_starts(29, {10, 0, false, 0}, "t") == std::vector<std::int64_t>{0, 10});
  CHECK(window_starts(304978, {2048, 0, false, 0}, "t").size() == 148);
  CHECK(lacks(data_error([] { window_starts(9, {10, 0, false, 0}, "t"); }), "less than one window of 10") == "");
  CHECK(lacks(data_error([] { window_starts(29, {10, 3, false, 0}, "t"); }), "enough for 2 windows") == "");
}

TEST_CASE("drawn windows do not overlap, and fewer are a subset of more", "[data]") {
  const auto many = window_starts(100007, {100, 500, true, 7}, "t");
  const auto few = window_starts(100007, {100, 20, true, 7}, "t");
  CHECK(std::equal(few.begin(), few.end(), many.begin()));
  CHECK(window_starts(100007, {100, 20, true, 8}, "t") != few);
  std::set<std::int64_t> places;
  for (const std::int64_t start : many) {
    CHECK(start % 100 == 0);
    CHECK((start >= 0 && start + 100 <= 100007));
    places.insert(start);
  }
  CHECK(places.size() == many.size());
  CHECK_FALSE(std::is_sorted(few.begin(), few.end()));
}

TEST_CASE("a file that is no UTF-8 text is refused with the place of the first byte at fault", "[data]") {
  const Scratch folder;
  const std::string path = (folder.path() / "words.txt").string();
  spill(path, "plain\nna\xc3\xafve \xff and more");
  CHECK(lacks(data_error([&] { load_text(path, ""); }),
              path + " is not UTF-8 text: byte 13 (line 2, column 8) does not begin a character") == "");
  spill(path, "cut \xc3");
  CHECK(lacks(data_error([&] { load_text(path, ""); }), "byte 4") == "");
  spill(path, "na\xc3\xafve");
  CHECK(load_text(path, "").content == "na\xc3\xafve");
}
