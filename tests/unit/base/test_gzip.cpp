#include <zlib.h>

#include "base/error.h"
#include "base/gzip.h"
#include "support/catch.h"
#include "support/message.h"
#include "support/scratch.h"

using namespace stamp;
using namespace stamp::test;

namespace {

void pack(const fs::path& path, const std::string& text) {
  const gzFile file = gzopen(path.c_str(), "wb");
  REQUIRE(file != nullptr);
  REQUIRE(gzwrite(file, text.data(), static_cast<unsigned>(text.size())) == static_cast<int>(text.size()));
  REQUIRE(gzclose(file) == Z_OK);
}

// Longer than one piece, both packed and unpacked: digits of a generator hardly pack.
std::string long_text() {
  std::string text;
  for (std::uint64_t i = 0, x = 1; i < 400000; ++i) {
    x = x * 6364136223846793005U + 1442695040888963407U;
    text += std::to_string(x >> 33);
  }
  return text;
}

}  // namespace

TEST_CASE("packed files come back whole, however long", "[gzip]") {
  const Scratch dir;
  const fs::path file = dir.path() / "a.gz";
  for (const std::string& text : {std::string("one\ntwo\n"), std::string(), long_text()}) {
    pack(file, text);
    CHECK((read_gzip(file) == text));  // in brackets: a failure must not print megabytes
  }
}

TEST_CASE("what cannot be unpacked is named with the reason", "[gzip]") {
  const Scratch dir;
  const fs::path file = dir.path() / "a.gz";
  pack(file, "some words that are packed");
  const std::string bytes = slurp(file);
  const auto message = [&](const std::string& content) {
    spill(file, content);
    return data_error([&] { read_gzip(file); });
  };
  CHECK(lacks(message(bytes.substr(0, bytes.size() - 6)), "a.gz: the packed file is cut short") == "");
  CHECK(lacks(message(""), "cut short") == "");
  CHECK(lacks(message("plain words"), "cannot be unpacked") == "");
  std::string damaged = bytes;
  damaged[bytes.size() - 7] = static_cast<char>(damaged[bytes.size() - 7] ^ 0x55);  // of the checksum
  CHECK(lacks(message(damaged), "cannot be unpacked") == "");
  CHECK(lacks(data_error([&] { read_gzip(dir.path() / "none.gz"); }), "none.gz") == "");
  // A few bytes can stand for very many.
  pack(file, std::string(std::size_t{3} << 20, 'x'));
  CHECK(lacks(data_error([&] { read_gzip(file, 1 << 20); }), "larger than 1048576 bytes") == "");
}
