#include "engine/interrupt.h"

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <exception>

#include "base/error.h"

namespace stamp {

namespace {

// A handler may only touch what is lock-free and already there; hence a fixed buffer and no allocation.
std::atomic<bool> writing{false};
std::atomic<bool> asked{false};
char mark_path[4096] = "";

[[noreturn]] void leave() {
  if (mark_path[0]) unlink(mark_path);
  constexpr char text[] = "\ninterrupted: finished trials are recorded; the same command continues\n";
  [[maybe_unused]] const auto written = write(STDERR_FILENO, text, sizeof text - 1);
  _exit(static_cast<int>(ExitCode::interrupted));
}

std::atomic<Log*> listener{nullptr};
std::terminate_handler before_words = nullptr;

[[noreturn]] void say_why() {
  if (Log* log = listener.exchange(nullptr); log && std::current_exception()) {
    try {
      std::rethrow_exception(std::current_exception());
    } catch (const std::exception& error) {
      log->warn(std::string("ended by an exception that nothing could catch: ") + error.what());
    } catch (...) {
      log->warn("ended by an exception of an unknown kind");
    }
  }
  if (before_words) before_words();  // says it on stderr and aborts
  std::abort();
}

void handle(int) {
  asked = true;
  if (!writing) leave();
}

}  // namespace

void end_on_interrupt(const std::string& mark) {
  std::strncpy(mark_path, mark.c_str(), sizeof mark_path - 1);
  struct sigaction action {};
  action.sa_handler = handle;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

LastWords::LastWords(Log& log) {
  listener = &log;
  before_words = std::set_terminate(say_why);
}

LastWords::~LastWords() {
  std::set_terminate(before_words);
  listener = nullptr;
}

UninterruptedWrite::UninterruptedWrite() {
  writing = true;
}

UninterruptedWrite::~UninterruptedWrite() {
  writing = false;
  if (asked) leave();
}

}  // namespace stamp
