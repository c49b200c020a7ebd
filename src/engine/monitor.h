// What one trial tells while it runs: phases with their time, progress inside a phase, log lines, warnings.
#pragma once
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/log.h"

namespace stamp {

// Where progress is shown; the default shows nothing.
class Progress {
 public:
  virtual ~Progress() = default;
  virtual void at(const std::string& /*phase*/, std::int64_t /*done*/, std::int64_t /*total*/) {}
};

class Monitor {
 public:
  Monitor(Log& log, Progress& progress) : log_(log), progress_(progress) {}

  // Time goes to the innermost phase that is open.
  class Phase {
   public:
    Phase(Monitor& monitor, const std::string& name);
    ~Phase();
    Phase(const Phase&) = delete;
    Phase& operator=(const Phase&) = delete;

   private:
    Monitor& monitor_;
    int exceptions_;
  };
  [[nodiscard]] Phase phase(const std::string& name) { return Phase(*this, name); }

  void step(std::int64_t done, std::int64_t total);
  void info(const std::string& text) { log_.info(text); }
  void warn(const std::string& text);  // once each; also into the log

  const std::map<std::string, double>& timing_s() const { return timing_s_; }
  const std::vector<std::string>& warnings() const { return warnings_; }
  // The innermost phase that an exception left, "" when none has.
  const std::string& failed_phase() const { return failed_phase_; }

 private:
  void attribute();

  Log& log_;
  Progress& progress_;
  std::vector<std::string> open_;
  std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
  std::map<std::string, double> timing_s_;
  std::vector<std::string> warnings_;
  std::string failed_phase_;
};

}  // namespace stamp
