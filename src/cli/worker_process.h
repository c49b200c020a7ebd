// The worker as a child: started, watched, told to stop, and replaced when it crashes.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "results/store.h"

namespace stamp {

struct WorkerCommand {
  fs::path program;
  std::vector<std::string> arguments;
  bool data_on_stdout = false;  // else its stdout goes to stderr: stdout carries our data
};

struct WorkerEnd {
  bool exited = false;
  int code = 0;              // when it exited by itself
  int signal = 0;            // when a signal ended it
  std::string text() const;  // "exit code 7", "signal 11 (Segmentation fault)"
};

// $STAMP_WORKER, else stamp-worker beside this program. Error when there is none.
fs::path worker_program();

// Runs the command until it ends. SIGINT, SIGTERM and SIGHUP that arrive meanwhile are passed on; the second one kills.
// `keep_open` (a lock's descriptor, or -1) stays open in the child. When this process dies, the child is killed with
// it. ConfigError for a number of threads in the environment that makes no sense.
WorkerEnd run_worker(const WorkerCommand& command, int keep_open);
bool interrupted();  // one of those signals has arrived in this process

// Runs all `ids`, restarting the worker after crashes: the trial it was at becomes a failure record ("worker_crash").
struct RunAllResult {
  ExitCode code = ExitCode::done;
  std::size_t crashes = 0;
};
RunAllResult run_all(const RunStore& store, const std::vector<std::string>& ids, bool fail_fast, int lock_descriptor,
                     const std::function<Record(const std::string& id)>& blank_record);

}  // namespace stamp
