// SIGINT and SIGTERM. A trial has nothing to save, so the process ends at once with 130; only while a record is being
// written it waits for the write.
#pragma once
#include <string>

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

}  // namespace stamp
