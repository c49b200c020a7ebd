#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "base/error.h"
#include "base/files.h"
#include "base/sha256.h"
#include "support/catch.h"
#include "support/scratch.h"

using namespace stamp;

namespace {

// With a cache folder of its own.
struct TemporaryFolder : test::Scratch {
  TemporaryFolder() { ::setenv("STAMP_CACHE", (path() / "cache").c_str(), 1); }
};

}  // namespace

TEST_CASE("an atomic write replaces the whole file and leaves nothing beside it", "[files]") {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "a.json";
  write_file_atomic(file, "one");
  write_file_atomic(file, "two");
  CHECK(read_file(file) == "two");
  CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator{}) == 1);
}

TEST_CASE("a link stays a link: the file it names is written, or made", "[files]") {
  const TemporaryFolder folder;
  const fs::path link = folder.path() / "link", made = folder.path() / "made", inner = folder.path() / "in" / "inner";
  write_file_atomic(folder.path() / "target", "one");
  fs::create_symlink("target", link);
  write_file_atomic(link, "two");
  CHECK(fs::is_symlink(link));
  CHECK(read_file(folder.path() / "target") == "two");
  fs::create_directory(inner.parent_path());
  fs::create_symlink("../made", inner);  // from where the link lies
  write_file_atomic(inner, "new");
  CHECK(fs::is_symlink(inner));
  CHECK(read_file(made) == "new");
  fs::create_symlink("circle", folder.path() / "circle");
  CHECK_THROWS_AS(write_file_atomic(folder.path() / "circle", "x"), StoreError);
  CHECK(fs::is_symlink(folder.path() / "circle"));
}

TEST_CASE("pipes and devices are written through, and stay what they are", "[files]") {
  const TemporaryFolder folder;
  const fs::path pipe = folder.path() / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  const int reader = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK);
  REQUIRE(reader >= 0);
  write_file_atomic(pipe, "through\n");
  char seen[16] = {};
  CHECK(::read(reader, seen, sizeof seen) == 8);
  CHECK(std::string(seen) == "through\n");
  ::close(reader);
  CHECK(fs::is_fifo(pipe));
  write_file_atomic("/dev/null", "gone");
  CHECK(fs::is_character_file("/dev/null"));
  CHECK_THROWS_AS(write_file_atomic("/dev/full", "x"), StoreError);
  CHECK(fs::is_character_file("/dev/full"));
  CHECK_THROWS_AS(write_file_atomic(folder.path(), "x"), StoreError);  // a folder
}

TEST_CASE("an open file by its descriptor gets the text where it is", "[files]") {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "open";
  append_line(file, "before");
  const int fd = ::open(file.c_str(), O_WRONLY);
  REQUIRE(fd >= 0);
  const auto inode = [&] {
    struct stat info {};
    ::stat(file.c_str(), &info);
    return info.st_ino;
  };
  const auto was = inode();
  write_file_atomic("/dev/fd/" + std::to_string(fd), "after\n");
  ::close(fd);
  CHECK(inode() == was);
  CHECK(read_file(file) == "before\nafter\n");
}

TEST_CASE("appended lines end with a newline each", "[files]") {
  const TemporaryFolder folder;
  append_line(folder.path() / "l", "a");
  append_line(folder.path() / "l", "b");
  CHECK(read_file(folder.path() / "l") == "a\nb\n");
}

TEST_CASE("a full disk and a wrong folder are store errors, a missing file a data error", "[files]") {
  const TemporaryFolder folder;
  CHECK_THROWS_AS(append_line("/dev/full", "x"), StoreError);
  CHECK_THROWS_AS(write_file_atomic(folder.path() / "none" / "a", "x"), StoreError);
  append_line(folder.path() / "file", "x");
  CHECK_THROWS_AS(make_folder(folder.path() / "file"), StoreError);
  CHECK_THROWS_AS(read_file(folder.path() / "absent"), DataError);
  CHECK_THROWS_AS(read_file(folder.path()), DataError);
  CHECK_THROWS_AS(read_file(folder.path() / "file", 1), DataError);
  CHECK_THROWS_AS(MappedFile(folder.path()), DataError);
}

TEST_CASE("a lock is exclusive until its owner goes", "[files]") {
  const TemporaryFolder folder;
  auto first = FileLock::try_acquire(folder.path() / ".lock");
  REQUIRE(first);
  CHECK_FALSE(FileLock::try_acquire(folder.path() / ".lock"));
  first.reset();
  CHECK(FileLock::try_acquire(folder.path() / ".lock"));
}

TEST_CASE("a remembered digest follows the file's content", "[files]") {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "model";
  write_file_atomic(file, "abc");
  CHECK(file_digest(file) == sha256_hex("abc"));
  CHECK(file_digest(file) == sha256_hex("abc"));
  write_file_atomic(file, "abd");
  CHECK(file_digest(file) == sha256_hex("abd"));
  write_file_atomic(file, "");
  CHECK(file_digest(file) == sha256_hex(""));
}

TEST_CASE("a mapped file shows the bytes, also of an empty file", "[files]") {
  const TemporaryFolder folder;
  write_file_atomic(folder.path() / "m", "xyz");
  const MappedFile mapped(folder.path() / "m");
  REQUIRE(mapped.size() == 3);
  CHECK(static_cast<char>(mapped.data()[2]) == 'z');
  mapped.drop(mapped.data(), 3);
  CHECK(static_cast<char>(mapped.data()[0]) == 'x');
  write_file_atomic(folder.path() / "e", "");
  CHECK(MappedFile(folder.path() / "e").size() == 0);
}
