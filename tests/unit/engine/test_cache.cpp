#include "engine/cache.h"

#include <string>
#include <vector>

#include "support/catch.h"
#include "support/scratch.h"

using namespace stamp;

namespace {

struct Warnings {
  std::vector<std::string> texts;
  ResultCache::Warn sink() {
    return [this](const std::string& t) { texts.push_back(t); };
  }
};

}  // namespace

TEST_CASE("cache entries come back as they went in") {
  const test::Scratch scratch;
  const ResultCache cache(scratch.path());
  Warnings w;
  const Json key{{"model", "a"}};
  CHECK_FALSE(cache.load("kind", key, w.sink()));
  const std::string value("bytes\0and\nlines", 15);
  REQUIRE(cache.store("kind", key, value, w.sink()));
  CHECK(cache.load("kind", key, w.sink()) == value);
  CHECK_FALSE(cache.load("kind", Json{{"model", "b"}}, w.sink()));
  CHECK_FALSE(cache.load("other", key, w.sink()));
  CHECK(w.texts.empty());
  const std::vector<double> numbers{1.5, -0.1, 1e300};
  CHECK(values_of<double>(bytes_of(std::span<const double>(numbers))) == numbers);
}

TEST_CASE("a damaged entry is reported and absent") {
  const test::Scratch scratch;
  const ResultCache cache(scratch.path());
  const Json key{{"model", "a"}};
  Warnings quiet;
  REQUIRE(cache.store("kind", key, "a value of some length", quiet.sink()));
  const fs::path file = cache.path("kind", key);
  const std::string whole = test::slurp(file);
  for (std::size_t cut = 0; cut < whole.size(); ++cut) {
    Warnings w;
    test::spill(file, whole.substr(0, cut));
    CHECK_FALSE(cache.load("kind", key, w.sink()));
    CHECK(w.texts.size() == 1);
  }
  for (std::size_t at = 0; at < whole.size(); ++at) {
    Warnings w;
    std::string bent = whole;
    bent[at] = static_cast<char>(bent[at] ^ 1);
    test::spill(file, bent);
    CHECK_FALSE(cache.load("kind", key, w.sink()));
    CHECK(w.texts.size() == 1);
  }
  test::spill(file, whole);
  CHECK(cache.load("kind", key, quiet.sink()) == "a value of some length");
  // An entry of another key under this name, as a digest collision or a copied file would leave it.
  REQUIRE(cache.store("kind", Json{{"model", "b"}}, "other", quiet.sink()));
  test::spill(file, test::slurp(cache.path("kind", Json{{"model", "b"}})));
  CHECK_FALSE(cache.load("kind", key, quiet.sink()));
}

TEST_CASE("a cache that cannot be written costs nothing but a warning") {
  const test::Scratch scratch;
  test::spill(scratch.path() / "file", "in the way");
  const ResultCache cache(scratch.path() / "file");
  Warnings w;
  CHECK_FALSE(cache.store("kind", Json::object(), "x", w.sink()));
  CHECK(w.texts.size() == 1);
  const ResultCache none{fs::path()};
  CHECK_FALSE(none.store("kind", Json::object(), "x", w.sink()));
  CHECK_FALSE(none.load("kind", Json::object(), w.sink()));
  CHECK(w.texts.size() == 1);
}
