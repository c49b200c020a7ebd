#include "cli/worker_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "base/parallel.h"
#include "cli/run_folder.h"
#include "cli/terminal.h"
#include "results/provenance.h"

namespace stamp {

namespace {

std::atomic<pid_t> child{0};
std::atomic<int> signals_seen{0};

void pass_on(int signal) {
  const int seen = ++signals_seen;
  const pid_t pid = child;
  if (pid > 0) ::kill(pid, seen > 1 ? SIGKILL : signal);
}

constexpr int passed_on[] = {SIGINT, SIGTERM, SIGHUP};

void install_handlers() {
  struct sigaction action {};
  action.sa_handler = pass_on;
  sigemptyset(&action.sa_mask);
  for (int s : passed_on) sigaction(s, &action, nullptr);  // without SA_RESTART: waiting ends early, and goes on
}

sigset_t passed_on_set() {
  sigset_t set;
  sigemptyset(&set);
  for (int s : passed_on) sigaddset(&set, s);
  return set;
}

[[noreturn]] void become(const WorkerCommand& command, int keep_open, pid_t parent, const sigset_t& mask) {
  // An orphan would append to a run that somebody else has taken over.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) _exit(127);
  ::setpgid(0, 0);  // Ctrl-C reaches the front program only, which passes it on once
  if (keep_open >= 0) ::fcntl(keep_open, F_SETFD, 0);
  if (!command.data_on_stdout) ::dup2(STDERR_FILENO, STDOUT_FILENO);
  ::sigprocmask(SIG_SETMASK, &mask, nullptr);
  std::vector<char*> argv;
  std::string program = command.program.string();
  argv.push_back(program.data());
  for (const std::string& a : command.arguments) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  ::execv(program.c_str(), argv.data());
  const std::string message = "stamp: cannot start " + program + ": " + std::strerror(errno) + "\n";
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, message.data(), message.size());
  _exit(127);
}

std::string running_id(const RunStore& store) {
  std::error_code ec;
  if (!fs::exists(store.running_path(), ec)) return "";
  const Json j = Json::parse(read_file(store.running_path(), 1 << 16), nullptr, false);
  return j.is_object() ? j.value("id", "") : "";
}

}  // namespace

std::string WorkerEnd::text() const {
  if (exited) return fmt::format("exit code {}", code);
  const char* name = strsignal(signal);
  return fmt::format("signal {} ({}{})", signal, name ? name : "?",
                     signal == SIGKILL ? "; out of memory, or killed from outside" : "");
}

bool interrupted() {
  return signals_seen > 0;
}

fs::path worker_program() {
  fs::path program;
  if (const char* given = std::getenv("STAMP_WORKER"); given && *given)
    program = given;
  else
    program = program_folder() / "stamp-worker";
  if (::access(program.c_str(), X_OK) != 0)
    throw Error(
        ExitCode::internal,
        fmt::format("{}: {}; the worker is built with LibTorch (-DSTAMP_WITH_TORCH=ON) and lies beside stamp, or where "
                    "STAMP_WORKER says",
                    program.string(), std::strerror(errno)));
  return program;
}

WorkerEnd run_worker(const WorkerCommand& command, int keep_open) {
  chosen_threads();  // a variable that the worker would refuse is refused here, before it can look like a crash
  install_handlers();
  const sigset_t block = passed_on_set();
  sigset_t before;
  sigprocmask(SIG_BLOCK, &block, &before);  // no signal falls between the fork and our knowing the child
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid == 0) become(command, keep_open, parent, before);
  if (pid < 0) {
    sigprocmask(SIG_SETMASK, &before, nullptr);
    throw Error(ExitCode::internal, fmt::format("cannot start a process: {}", std::strerror(errno)));
  }
  child = pid;
  sigprocmask(SIG_SETMASK, &before, nullptr);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  child = 0;
  WorkerEnd end;
  end.exited = WIFEXITED(status);
  if (end.exited) end.code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) end.signal = WTERMSIG(status);
  return end;
}

RunAllResult run_all(const RunStore& store, const std::vector<std::string>& ids, bool fail_fast, int lock_descriptor,
                     const std::function<Record(const std::string& id)>& blank_record) {
  RunAllResult result;
  const fs::path program = worker_program();
  const fs::path list = store.folder() / "queue.txt";
  const auto writes_before = store.read(false).writes;
  const auto written_since = [&](const std::unordered_map<std::string, std::size_t>& writes, const std::string& id) {
    const auto now = writes.find(id), then = writes_before.find(id);
    return (now == writes.end() ? 0 : now->second) > (then == writes_before.end() ? 0 : then->second);
  };
  std::error_code ec;
  fs::remove(store.running_path(), ec);
  std::vector<std::string> left = ids;
  while (!left.empty()) {
    if (interrupted()) {
      result.code = ExitCode::interrupted;
      break;
    }
    std::string text;
    for (const std::string& id : left) text += id + "\n";
    write_file_atomic(list, text);
    WorkerCommand command{program, {"run", store.folder().string(), "--ids", list.string()}, false};
    if (fail_fast) command.arguments.push_back("--fail-fast");
    if (left.size() < ids.size()) {
      command.arguments.push_back("--before");
      command.arguments.push_back(std::to_string(ids.size() - left.size()));
    }
    const WorkerEnd end = run_worker(command, lock_descriptor);

    if (const auto said = store.repair()) say(*said);
    const auto writes = store.read(false).writes;
    const std::size_t before = left.size();
    left.erase(
        std::remove_if(left.begin(), left.end(), [&](const std::string& id) { return written_since(writes, id); }),
        left.end());

    if (interrupted()) {
      result.code = ExitCode::interrupted;
      break;
    }
    if (end.exited && (end.code == 0 || end.code == 3 || end.code == 5 || end.code == 6 || end.code == 130)) {
      result.code = static_cast<ExitCode>(end.code);
      break;
    }
    ++result.crashes;
    const std::string id = running_id(store);
    const auto at = std::find(left.begin(), left.end(), id);
    if (at != left.end()) {
      Record record = blank_record(id);
      record.status = "failed";
      record.failure =
          Failure{"worker_crash",
                  fmt::format("the worker ended with {} in this trial; its log is logs/{}.log", end.text(), id), "run"};
      record.finished = utc_now();
      store.append(record);
      left.erase(at);
      say(fmt::format("trial {}: the worker ended with {}; recorded as failed, going on with the rest", id,
                      end.text()));
      if (fail_fast) break;
    } else if (left.size() == before) {
      throw Error(ExitCode::internal, fmt::format("the worker ended with {} before its first trial", end.text()));
    } else {
      say(fmt::format("the worker ended with {} between two trials; going on with the rest", end.text()));
    }
  }
  fs::remove(store.running_path(), ec);
  fs::remove(list, ec);
  return result;
}

}  // namespace stamp
