// Progress of `generate` and `sample` on one line of stderr that is rewritten, and gone before anything else is said.
#pragma once
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "engine/monitor.h"

namespace stamp {

class TerminalLine : public Progress {
 public:
  void clear() {
    if (shown_) fmt::print(stderr, "\r\033[K");
    std::fflush(stderr);
    shown_ = false;
  }

 protected:
  bool terminal() const { return terminal_; }  // elsewhere nothing is to be shown
  void show(const std::string& text) {
    fmt::print(stderr, "\r\033[K{}", text);
    std::fflush(stderr);
    shown_ = true;
  }

 private:
  const bool terminal_ = isatty(STDERR_FILENO) == 1;
  bool shown_ = false;
};

}  // namespace stamp
