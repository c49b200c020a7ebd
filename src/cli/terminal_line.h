// Progress of `generate` and `sample` on one line of stderr that is rewritten, and gone before anything else is said.
#pragma once
#include <fmt/format.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <set>
#include <string>

#include "engine/monitor.h"

namespace stamp {

class TerminalLine : public Progress {
 public:
  explicit TerminalLine(std::FILE* out = stderr) : out_(out), terminal_(isatty(fileno(out)) == 1) {}
  void clear() {
    if (shown_) fmt::print(out_, "\r\033[K");
    std::fflush(out_);
    shown_ = false;
  }

 protected:
  bool terminal() const { return terminal_; }  // elsewhere no line can be rewritten
  void show(const std::string& text) {
    fmt::print(out_, "\r\033[K{}", text);
    std::fflush(out_);
    shown_ = true;
  }
  void line(const std::string& text) {  // that stays
    fmt::print(out_, "{}\n", text);
    std::fflush(out_);
  }

 private:
  std::FILE* const out_;
  const bool terminal_;
  bool shown_ = false;
};

// What takes long before the first token. Where no line can be rewritten each phase that has steps is told once.
class Waiting : public TerminalLine {
 public:
  using TerminalLine::TerminalLine;
  void at(const std::string& phase, std::int64_t done, std::int64_t total) override {
    if (terminal()) return show(total > 0 ? fmt::format("{}: {} of {}", phase, done, total) : phase);
    if (total == 0 || !told_.insert(phase).second) return;
    line(fmt::format("stamp: {}, {} step{}", phase, total, total == 1 ? "" : "s"));
  }

 private:
  std::set<std::string> told_;
};

}  // namespace stamp
