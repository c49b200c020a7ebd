#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <iostream>
#include <thread>

#include "base/text.h"
#include "cli/run_folder.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "report/watch.h"

namespace stamp {

namespace {

struct Options {
  std::string folder;
  double interval = 1;
  bool once = false;
};

volatile std::sig_atomic_t stop = 0;

// Whether somebody holds the folder's lock, without taking it: a run that starts at that moment must not find it held.
// Nothing where the system does not tell.
std::optional<bool> locked(const fs::path& lock) {
  struct stat info {};
  if (::stat(lock.c_str(), &info) != 0) return false;
  std::ifstream list("/proc/locks");
  if (!list) return std::nullopt;
  // "major:minor:inode"; by the inode alone, since layered file systems name another device than stat does.
  const std::string inode = ":" + std::to_string(info.st_ino);
  for (std::string line; std::getline(list, line);) {
    if (line.find("FLOCK") == std::string::npos || line.find(" -> ") != std::string::npos) continue;
    for (const std::string& word : split(line, ' '))
      if (word.ends_with(inode)) return true;
  }
  return false;
}

Json running_of(const RunStore& store) {
  try {
    const Json j = Json::parse(read_file(store.running_path(), 1 << 16), nullptr, false);
    return j.is_object() ? j : Json::object();
  } catch (const Error&) {
    return Json::object();  // no trial at work
  }
}

std::vector<std::string> queue_of(const RunStore& store) {
  std::vector<std::string> ids;
  std::ifstream in(queue_path(store));
  for (std::string line; std::getline(in, line);)
    if (const std::string id = trim(line); !id.empty()) ids.push_back(id);
  return ids;
}

std::size_t terminal_width() {
  winsize size{};
  return ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}

// Reads what has changed: records are parsed again only when their file has grown.
class Watcher {
 public:
  explicit Watcher(const std::string& folder) : store_(folder) {
    const RunFolder run = open_run(folder, false);  // says what is damaged, once
    plan_ = run.plan;
    plan_time_ = time_of(store_.plan_path());
    records_ = run.records;
    records_size_ = size_of(store_.records_path());
  }

  WatchState look() {
    std::error_code ec;
    // Asked before and after reading: a run that ends in between is seen at work once more, and then whole; one that
    // starts in between is not taken for one that left its queue behind.
    const std::optional<bool> before = locked(store_.folder() / ".lock");
    if (const auto now = time_of(store_.plan_path()); now != plan_time_ && fs::exists(store_.plan_path(), ec)) {
      plan_ = read_plan(store_.plan_path());
      plan_time_ = now;
    }
    if (const auto now = size_of(store_.records_path()); now != records_size_) {
      records_ = store_.read(false);
      records_size_ = now;
    }
    WatchInput input;
    input.source = report_source(plan_, records_);
    input.running = running_of(store_);
    input.queue = queue_of(store_);
    const std::optional<bool> after = locked(store_.folder() / ".lock");
    input.at_work = before && after ? *before || *after : !input.running.empty();
    input.now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
    if (!input.queue.empty()) unfinished_ = input.queue;  // its file goes before the lock does
    return watch_state(input);
  }

  // Trials that the last run had set out to do and left without a record.
  bool left_unfinished() const {
    for (const std::string& id : unfinished_)
      if (!records_.find(id)) return true;
    return false;
  }

 private:
  static fs::file_time_type time_of(const fs::path& p) {
    std::error_code ec;
    return fs::last_write_time(p, ec);
  }
  static std::uintmax_t size_of(const fs::path& p) {
    std::error_code ec;
    const auto n = fs::file_size(p, ec);
    return ec ? 0 : n;
  }
  RunStore store_;
  FrozenPlan plan_;
  ReadRecords records_;
  fs::file_time_type plan_time_;
  std::uintmax_t records_size_ = 0;
  std::vector<std::string> unfinished_;
};

void redraw(const std::vector<std::string>& lines, std::size_t before) {
  std::string out;
  if (before > 0) out += fmt::format("\033[{}A", before);
  for (const std::string& line : lines) out += "\r\033[2K" + line + "\n";
  if (before > lines.size()) out += "\033[J";
  std::cout << out << std::flush;
}

ExitCode run(const Front&, const Options& options) {
  Watcher watcher(options.folder);
  struct sigaction action {};
  action.sa_handler = [](int) { stop = 1; };
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  const bool terminal = stdout_is_terminal();
  std::string said;
  std::size_t drawn = 0;
  for (;;) {
    const WatchState state = watcher.look();
    if (terminal) {
      const std::vector<std::string> lines = watch_lines(state, terminal_width());
      redraw(lines, drawn);
      drawn = lines.size();
    } else if (const std::string line = watch_line(state); line != said) {
      data(line + "\n");
      std::cout.flush();
      said = line;
    }
    if (!state.at_work) {
      if (watcher.left_unfinished()) return ExitCode::interrupted;
      return state.failed > 0 ? ExitCode::trials_failed : ExitCode::done;
    }
    if (options.once) return ExitCode::done;
    const auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(options.interval);
    while (!stop && std::chrono::steady_clock::now() < until)
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    if (stop) return ExitCode::interrupted;
  }
}

}  // namespace

void add_watch(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = add_verb(app, action, "watch", "The state of a sweep that runs, until it ends; reads files only",
                            "  stamp watch runs/quickstart\n"
                            "  ssh machine stamp watch runs/quickstart --interval 10",
                            options, run);
  verb->add_option("DIR", options->folder, "Run folder")->required();
  verb->add_option("--interval", options->interval, "Seconds between two looks (default: 1)")
      ->check(CLI::Range(0.05, 3600.0));
  verb->add_flag("--once", options->once, "The state now, and no waiting");
  verb->footer(verb->get_footer() +
               "\n\nOn a terminal the lines are redrawn in place; elsewhere a line is printed whenever the trial, its\n"
               "phase or the counts change. Ends when the sweep does: 0 all well, 3 some trials failed, 130 the last\n"
               "run stopped before its end, now or earlier (or Ctrl-C here, which does not touch the sweep).");
}

}  // namespace stamp
