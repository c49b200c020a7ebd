// The residual stream of many work items between two blocks, for networks that are walked one block at a time: in
// memory while a budget lasts, else in a scratch file that is mapped. Specification models 6.1.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/matrix.h"

namespace stamp {

// How many bytes of rows may stay in memory, and where the others go. One budget is shared by all stores of a trial.
class RowBudget {
 public:
  RowBudget(std::uint64_t memory_bytes, fs::path scratch_folder)
      : left_(memory_bytes), folder_(std::move(scratch_folder)) {}
  bool take(std::uint64_t bytes);  // false, and nothing taken, when it would not fit
  void give_back(std::uint64_t bytes) { left_ += bytes; }
  const fs::path& folder() const { return folder_; }

 private:
  std::uint64_t left_;
  fs::path folder_;
};

// Rows of float32, one matrix an item; zero at first. Every matrix starts on a page of its own.
class HiddenRows {
 public:
  // A store is in memory as a whole or on disk as a whole. The file is reserved in full and unlinked at once: it goes
  // with the process however that ends, and a disk that is too small shows here rather than in the middle of a pass.
  // TrialError "disk_full" says what is needed and what is free; StoreError when the folder cannot be written.
  HiddenRows(const std::vector<std::int64_t>& rows, std::int64_t width, std::shared_ptr<RowBudget> budget);
  ~HiddenRows();
  HiddenRows(const HiddenRows&) = delete;
  HiddenRows& operator=(const HiddenRows&) = delete;

  std::int64_t count() const { return static_cast<std::int64_t>(rows_.size()); }
  std::int64_t width() const { return width_; }
  MatrixView item(std::int64_t i);  // rows of item i x width, contiguous; valid as long as the store
  // Item i is not needed for a while: its pages leave this process's memory and wait in the file. In memory: nothing.
  void rest(std::int64_t i);
  bool on_disk() const { return on_disk_; }
  std::uint64_t bytes() const { return bytes_; }

 private:
  std::vector<std::int64_t> rows_;
  std::vector<std::uint64_t> starts_;  // bytes; one more than items
  std::int64_t width_;
  std::shared_ptr<RowBudget> budget_;
  std::uint64_t bytes_ = 0;
  bool on_disk_ = false;
  std::byte* data_ = nullptr;
};

// $TMPDIR when it is set, else `cache`/scratch; no folder /tmp by default, which is memory on many machines.
fs::path scratch_folder(const fs::path& cache);

}  // namespace stamp
