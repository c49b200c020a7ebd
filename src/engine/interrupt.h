// SIGINT and SIGTERM. A trial has nothing to save, so the process ends at once with 130; only while a record is being
// written it waits for the write.
#pragma once
#include <string>

#include "base/log.h"

namespace stamp {

// `mark` is a file to remove on the way out (running.json).
void end_on_interrupt(const std::string& mark);

// While one is alive an interrupt is remembered; it takes effect when the last one goes.
class UninterruptedWrite {
 public:
  UninterruptedWrite();
  ~UninterruptedWrite();
  UninterruptedWrite(const UninterruptedWrite&) = delete;
  UninterruptedWrite& operator=(const UninterruptedWrite&) = delete;
};

// While it is alive an exception that nobody can catch (it left a thread, or a function that may not throw) is written
// into `log` before it ends the process: the record of the crash only knows the signal. One at a time.
class LastWords {
 public:
  explicit LastWords(Log& log);
  ~LastWords();
  LastWords(const LastWords&) = delete;
  LastWords& operator=(const LastWords&) = delete;
};

}  // namespace stamp
