// A run folder: plan.json, records.jsonl, logs/<trial>.log, files/<trial>/, tables/, plots/. Product section 4,
// docs/records.md. One front program at a time holds the lock and may repair or append; reading needs no lock and
// changes nothing.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/files.h"
#include "results/record.h"

namespace stamp {

struct ReadRecords {
  std::vector<Record> records;       // the newest of every id, in the order in which ids first appear
  std::vector<std::string> notices;  // torn last line, damaged lines with their numbers: say them to the user
  std::size_t lines = 0;             // whole lines seen, superseded ones included
  std::unordered_map<std::string, std::size_t> writes;  // records of every id, superseded ones included
  const Record* find(const std::string& id) const;
};

class RunStore {
 public:
  explicit RunStore(fs::path folder) : folder_(std::move(folder)) {}  // no effects

  const fs::path& folder() const { return folder_; }
  fs::path plan_path() const { return folder_ / "plan.json"; }
  fs::path records_path() const { return folder_ / "records.jsonl"; }
  fs::path log_path(const std::string& id) const { return folder_ / "logs" / (id + ".log"); }
  fs::path running_path() const { return folder_ / "running.json"; }  // the trial a worker is at: {"id", "started"}
  fs::path files_path(const std::string& id) const { return folder_ / "files" / id; }  // what a trial's metrics keep
  fs::path tables_folder() const { return folder_ / "tables"; }
  fs::path plots_folder() const { return folder_ / "plots"; }

  // Makes the folder and its parts. StoreError when it is not a folder.
  void make_folders() const;
  // StoreError naming the folder when another run holds it.
  std::unique_ptr<FileLock> lock() const;
  // Writes, reads back and removes a file, so that a full or read-only disk is known before the first trial.
  // StoreError.
  void test_write() const;
  // Moves a torn last line of records.jsonl to records.torn; says so, or nothing when the file is whole. Needs the
  // lock.
  std::optional<std::string> repair() const;
  // One whole line, flushed to the disk. A torn line left by an earlier stop is set aside first. StoreError.
  void append(const Record& record) const;
  // `with_slots` false skips the slots, which are most of a record. A missing file is an empty run.
  ReadRecords read(bool with_slots = true) const;

 private:
  fs::path folder_;
};

}  // namespace stamp
