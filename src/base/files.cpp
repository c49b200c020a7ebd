#include "base/files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "base/sha256.h"
#include "base/text.h"

namespace stamp {
namespace {

// A file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  bool close() {
    const int fd = fd_;
    fd_ = -1;
    return ::close(fd) == 0;
  }

 private:
  int fd_;
};

std::string reason() {
  return std::strerror(errno);
}

// All of `text`, or false with errno.
bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

struct stat checked_stat(int fd, const fs::path& path) {
  struct stat info {};
  if (fd < 0) throw DataError(path.string() + ": " + reason());
  if (::fstat(fd, &info) != 0) throw DataError(path.string() + ": " + reason());
  if (!S_ISREG(info.st_mode)) throw DataError(path.string() + ": is not a regular file");
  return info;
}

// The file that a chain of links names, also where it is not there yet.
fs::path behind_links(fs::path path) {
  constexpr int most_links = 40;  // as many as the kernel follows
  std::error_code ec;
  for (int i = 0; i < most_links && fs::is_symlink(path, ec); ++i) {
    const fs::path target = fs::read_symlink(path, ec);
    if (ec) break;
    path = path.parent_path() / target;
  }
  return path;
}

// Not to be renamed over: nodes that are no regular files, and open files by their descriptor, whose reader would keep
// the old file.
bool written_through(const fs::path& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) {
    if (errno == ELOOP) throw StoreError("cannot write " + path.string() + ": " + reason());
    return false;
  }
  std::error_code ec;
  const std::string whole = fs::absolute(path, ec).lexically_normal().string();
  return !S_ISREG(info.st_mode) || whole.starts_with("/dev/") || whole.starts_with("/proc/");
}

void write_through(const fs::path& path, std::string_view text) {
  Descriptor file(::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  if (file.get() < 0 || !write_all(file.get(), text) || !file.close())
    throw StoreError("cannot write " + path.string() + ": " + reason());
}

}  // namespace

std::string read_file(const fs::path& path, std::uint64_t limit) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  const struct stat info = checked_stat(file.get(), path);
  const auto size = static_cast<std::uint64_t>(info.st_size);
  if (size > limit) {
    throw DataError(path.string() + ": has " + bytes_text(size) + ", more than the " + bytes_text(limit) +
                    " allowed here");
  }
  std::string text(size, '\0');
  std::size_t done = 0;
  while (done < size) {
    const ssize_t n = ::read(file.get(), text.data() + done, size - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw DataError(path.string() + ": " + reason());
    if (n == 0) break;  // it shrank meanwhile
    done += static_cast<std::size_t>(n);
  }
  text.resize(done);
  return text;
}

void write_file_atomic(const fs::path& given, std::string_view text) {
  if (written_through(given)) return write_through(given, text);
  const fs::path path = behind_links(given);
  const fs::path temporary = path.string() + ".tmp." + std::to_string(::getpid());
  {
    Descriptor file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (file.get() < 0) throw StoreError("cannot write " + path.string() + ": " + reason());
    if (!write_all(file.get(), text) || ::fsync(file.get()) != 0 || !file.close()) {
      const std::string why = reason();
      ::unlink(temporary.c_str());
      throw StoreError("cannot write " + path.string() + ": " + why);
    }
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    const std::string why = reason();
    ::unlink(temporary.c_str());
    throw StoreError("cannot replace " + path.string() + ": " + why);
  }
}

void append_line(const fs::path& path, std::string_view line) {
  Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (file.get() < 0) throw StoreError("cannot append to " + path.string() + ": " + reason());
  std::string text(line);
  text += '\n';
  if (!write_all(file.get(), text)) throw StoreError("cannot append to " + path.string() + ": " + reason());
  // EINVAL: a device that cannot be synchronised; what was written stands.
  if (::fsync(file.get()) != 0 && errno != EINVAL) throw StoreError("cannot flush " + path.string() + ": " + reason());
  if (!file.close()) throw StoreError("cannot close " + path.string() + ": " + reason());
}

void make_folder(const fs::path& path) {
  std::error_code code;
  fs::create_directories(path, code);
  if (!fs::is_directory(path)) {
    throw StoreError("cannot make the folder " + path.string() + ": " +
                     (code ? code.message() : "a file is in its place"));
  }
  if (::access(path.c_str(), W_OK | X_OK) != 0)
    throw StoreError("cannot write into " + path.string() + ": " + reason());
}

std::unique_ptr<FileLock> FileLock::try_acquire(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) throw StoreError("cannot lock " + path.string() + ": " + reason());
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    ::close(fd);
    return nullptr;
  }
  return std::unique_ptr<FileLock>(new FileLock(fd));
}

FileLock::~FileLock() {
  ::close(fd_);
}

MappedFile::MappedFile(const fs::path& path) : path_(path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  const struct stat info = checked_stat(file.get(), path);
  size_ = static_cast<std::uint64_t>(info.st_size);
  if (size_ == 0) return;
  void* mapped = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (mapped == MAP_FAILED) throw DataError(path.string() + ": cannot be mapped: " + reason());
  data_ = static_cast<const std::byte*>(mapped);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::drop(const std::byte* from, std::uint64_t bytes) const {
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const auto offset = static_cast<std::uint64_t>(from - data_);
  const std::uint64_t first = (offset + page - 1) / page * page;
  const std::uint64_t last = (offset + bytes) / page * page;
  if (last > first) ::madvise(const_cast<std::byte*>(data_) + first, last - first, MADV_DONTNEED);
}

fs::path cache_folder() {
  if (const char* own = std::getenv("STAMP_CACHE"); own != nullptr && *own != '\0') return own;
  if (const char* xdg = std::getenv("XDG_CACHE_HOME"); xdg != nullptr && *xdg != '\0') return fs::path(xdg) / "stamp";
  const char* home = std::getenv("HOME");
  return fs::path(home != nullptr && *home != '\0' ? home : "/tmp") / ".cache" / "stamp";
}

std::string file_digest(const fs::path& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  const struct stat info = checked_stat(file.get(), path);
  std::error_code code;
  const fs::path absolute = fs::weakly_canonical(path, code);
  const std::string key =
      sha256_hex(absolute.string() + '\n' + std::to_string(info.st_size) + '\n' + std::to_string(info.st_mtim.tv_sec) +
                 '.' + std::to_string(info.st_mtim.tv_nsec) + '\n' + std::to_string(info.st_ino));
  const fs::path remembered = cache_folder() / "digests" / key;
  if (fs::is_regular_file(remembered, code)) {
    const std::string text = trim(read_file(remembered, 256));
    if (text.size() == 64) return text;
  }
  const MappedFile mapped(path);
  Sha256 digest;
  // Piece by piece, so that a file larger than memory does not count as this process's.
  constexpr std::uint64_t piece = std::uint64_t{64} << 20;
  for (std::uint64_t done = 0; done < mapped.size(); done += piece) {
    const std::uint64_t bytes = std::min(piece, mapped.size() - done);
    digest.update(mapped.data() + done, bytes);
    mapped.drop(mapped.data() + done, bytes);
  }
  const std::string hex = digest.hex();
  try {
    make_folder(remembered.parent_path());
    write_file_atomic(remembered, hex);
  } catch (const StoreError&) {
    // A cache that cannot be written costs the next run a second look, nothing else.
  }
  return hex;
}

}  // namespace stamp
