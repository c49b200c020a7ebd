// Errors by whose fault they are, each with the exit code of docs/exit-codes (product section 2).
#pragma once
#include <stdexcept>
#include <string>
#include <vector>

namespace stamp {

enum class ExitCode : int {
  done = 0,
  internal = 1,       // our fault
  usage = 2,          // configuration or command line
  trials_failed = 3,  // some trials failed, the rest is recorded
  outside_tolerance = 4,
  store = 5,    // results could not be written
  missing = 6,  // data or model missing or damaged
  interrupted = 130,
};

class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

// Where a value came from; line and column count from 1, 0 = unknown. `file` may be "--set".
struct Place {
  std::string file;
  int line = 0;
  int column = 0;
  std::string text() const;  // "file:line:column"
};

// The user's file or command line is wrong. Several faults may be reported at once.
class ConfigError : public Error {
 public:
  explicit ConfigError(const std::string& message) : Error(ExitCode::usage, message) {}
  explicit ConfigError(const std::vector<std::string>& faults);
};

// A model, text or data file is missing, damaged or not supported.
class DataError : public Error {
 public:
  explicit DataError(const std::string& message) : Error(ExitCode::missing, message) {}
};

// Results could not be written, or a run folder cannot be used.
class StoreError : public Error {
 public:
  explicit StoreError(const std::string& message) : Error(ExitCode::store, message) {}
};

// One trial cannot be finished (NaN metric, impossible combination found late); the sweep goes on.
class TrialError : public Error {
 public:
  TrialError(std::string kind, const std::string& message)
      : Error(ExitCode::trials_failed, message), kind_(std::move(kind)) {}
  const std::string& kind() const { return kind_; }

 private:
  std::string kind_;
};

}  // namespace stamp
