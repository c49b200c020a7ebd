// Files: whole reads with limits, atomic writes, appends that are flushed, exclusive locks, mapped views.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace stamp {

namespace fs = std::filesystem;

// Throws DataError when missing, not a regular file, or larger than `limit` bytes.
std::string read_file(const fs::path& path, std::uint64_t limit = std::uint64_t{1} << 30);
// Temporary name in the same folder, fsync, rename: readers see the old or the new file. A link stays one: the file it
// names is replaced, or made. What is no regular file (a pipe, a device, what /dev/stdout stands for) is written
// through, not replaced. Throws StoreError.
void write_file_atomic(const fs::path& path, std::string_view text);
// Appends `line` + '\n' in one write and fsyncs. Throws StoreError (disk full, read-only).
void append_line(const fs::path& path, std::string_view line);
void make_folder(const fs::path& path);  // StoreError when it cannot be made or written

// flock on a file, released when destroyed or when the process dies.
class FileLock {
 public:
  static std::unique_ptr<FileLock> try_acquire(const fs::path& path);  // null when somebody else holds it
  ~FileLock();
  int descriptor() const { return fd_; }  // a child that keeps it open across exec keeps the lock with it

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  int fd_;
};

// Read-only mapping of a whole file.
class MappedFile {
 public:
  explicit MappedFile(const fs::path& path);  // DataError when missing or not a regular file
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  const std::byte* data() const { return data_; }
  std::uint64_t size() const { return size_; }
  const fs::path& path() const { return path_; }
  void drop(const std::byte* from, std::uint64_t bytes) const;  // MADV_DONTNEED on whole pages inside

 private:
  fs::path path_;
  const std::byte* data_ = nullptr;
  std::uint64_t size_ = 0;
};

fs::path cache_folder();  // $STAMP_CACHE, else $XDG_CACHE_HOME/stamp, else ~/.cache/stamp
// SHA-256 of a file's bytes; remembered in the cache folder by (path, size, mtime, inode).
std::string file_digest(const fs::path& path);

}  // namespace stamp
