#include "engine/hidden_rows.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "base/text.h"

namespace stamp {

namespace {

std::uint64_t page_size() {
  return static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

[[noreturn]] void disk_full(const fs::path& folder, std::uint64_t bytes, int error) {
  std::error_code ec;
  const fs::space_info space = fs::space(folder, ec);
  const std::string have = ec ? "" : fmt::format(", which has {} free", bytes_text(space.available));
  throw TrialError("disk_full",
                   fmt::format("the hidden rows of this trial need {} of scratch space in {}{} ({}); point TMPDIR to a "
                               "larger disk, raise model.rows_memory_gb, or take fewer windows",
                               bytes_text(bytes), folder.string(), have, std::strerror(error)));
}

std::byte* map_scratch_file(const fs::path& folder, std::uint64_t bytes) {
  make_folder(folder);
  std::string name = (folder / "stamp-rows-XXXXXX").string();
  const int file = ::mkostemp(name.data(), O_CLOEXEC);
  if (file < 0)
    throw StoreError(fmt::format("cannot make a scratch file in {}: {}", folder.string(), std::strerror(errno)));
  ::unlink(name.c_str());
  // Writing into a hole of a full disk would end the process with SIGBUS, so every block is reserved first.
  const int error = ::posix_fallocate(file, 0, static_cast<off_t>(bytes));
  if (error != 0) {
    ::close(file);
    disk_full(folder, bytes, error);
  }
  void* mapped = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  const int why = errno;
  ::close(file);
  if (mapped == MAP_FAILED)
    throw StoreError(fmt::format("cannot map the scratch file in {}: {}", folder.string(), std::strerror(why)));
  return static_cast<std::byte*>(mapped);
}

std::byte* map_memory(std::uint64_t bytes) {
  void* mapped = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return mapped == MAP_FAILED ? nullptr : static_cast<std::byte*>(mapped);
}

}  // namespace

bool RowBudget::take(std::uint64_t bytes) {
  if (bytes > left_) return false;
  left_ -= bytes;
  return true;
}

HiddenRows::HiddenRows(const std::vector<std::int64_t>& rows, std::int64_t width, std::shared_ptr<RowBudget> budget)
    : rows_(rows), width_(width), budget_(std::move(budget)) {
  const std::uint64_t page = page_size();
  starts_.push_back(0);
  for (const std::int64_t n : rows_) {
    const std::uint64_t wanted = static_cast<std::uint64_t>(n) * static_cast<std::uint64_t>(width) * sizeof(float);
    starts_.push_back(starts_.back() + (wanted + page - 1) / page * page);
  }
  bytes_ = starts_.back();
  if (bytes_ == 0) return;
  if (budget_->take(bytes_)) {
    data_ = map_memory(bytes_);
    if (data_ == nullptr) budget_->give_back(bytes_);
  }
  if (data_ != nullptr) return;
  on_disk_ = true;
  data_ = map_scratch_file(budget_->folder(), bytes_);
}

HiddenRows::~HiddenRows() {
  if (data_ == nullptr) return;
  ::munmap(data_, bytes_);
  if (!on_disk_) budget_->give_back(bytes_);
}

MatrixView HiddenRows::item(std::int64_t i) {
  const auto at = static_cast<std::size_t>(i);
  return {reinterpret_cast<float*>(data_ + starts_.at(at)), rows_.at(at), width_, width_};
}

void HiddenRows::rest(std::int64_t i) {
  if (!on_disk_) return;
  const auto at = static_cast<std::size_t>(i);
  // Of a shared mapping: only this process's view goes, what was written stays in the file.
  ::madvise(data_ + starts_.at(at), starts_.at(at + 1) - starts_.at(at), MADV_DONTNEED);
}

fs::path scratch_folder(const fs::path& cache) {
  if (const char* own = std::getenv("TMPDIR"); own != nullptr && *own != '\0') return own;
  return (cache.empty() ? cache_folder() : cache) / "scratch";
}

}  // namespace stamp
