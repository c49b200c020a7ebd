// Progress of a sweep on stderr: one line that is rewritten on a terminal, plain lines elsewhere.
#pragma once
#include <chrono>
#include <cstdio>
#include <string>

#include "engine/monitor.h"

namespace stamp {

class SweepProgress : public Progress {
 public:
  // `before`: of the `trials` so many were run by a process before this one.
  SweepProgress(std::FILE* out, bool terminal, std::size_t trials, std::size_t before = 0)
      : out_(out), terminal_(terminal), trials_(trials), number_(before) {}
  void begin(const std::string& label);  // the next trial
  void at(const std::string& phase, std::int64_t done, std::int64_t total) override;
  void end(const std::string& outcome);  // "perplexity 69.45", "failed: ..."
  void line(const std::string& text);    // a line of its own that stays
  // Seconds until the sweep ends, from the mean of the finished trials; negative while none has.
  double remaining_s() const;

 private:
  using Clock = std::chrono::steady_clock;
  void show(const std::string& text);
  std::string head() const;  // "[3/36] quarot, haar"

  std::FILE* out_;
  bool terminal_;
  std::size_t trials_;
  std::size_t number_;  // of the running trial, from 1
  std::string label_;
  double finished_s_ = 0;
  std::size_t finished_ = 0;
  Clock::time_point begun_ = Clock::now();
  Clock::time_point shown_{};
};

}  // namespace stamp
