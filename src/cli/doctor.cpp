#include <fmt/format.h>

#include <cstdio>
#include <iostream>

#include "base/parallel.h"
#include "base/text.h"
#include "cli/run_folder.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "cli/worker_process.h"
#include "data/text.h"
#include "results/provenance.h"

namespace stamp {

namespace {

struct Options {};

void line(const std::string& what, const std::string& text) {
  data(fmt::format("{:<14} {}\n", what, text));
}

std::string listed(const Json& list) {
  std::vector<std::string> parts;
  for (const Json& v : list) parts.push_back(v.get<std::string>());
  return parts.empty() ? "none of interest" : join(parts, " ");
}

std::string write_access(const fs::path& folder) {
  std::error_code ec;
  const bool there = fs::exists(folder, ec);
  try {
    const RunStore store(folder);
    make_folder(folder);
    store.test_write();
    if (!there) fs::remove(folder, ec);
    return "writable";
  } catch (const StoreError& error) {
    return error.what();
  }
}

ExitCode run(const Front& front, const Options&) {
  const ThreadChoice threads = chosen_threads();
  const Json code = code_provenance(), hardware = hardware_provenance();
  line("stamp", fmt::format("revision {}{}, {} build, {}", code["revision"].get<std::string>(),
                            code.value("dirty", false) ? " (dirty)" : "", code["build"].get<std::string>(),
                            code["compiler"].get<std::string>()));
  line("processor", fmt::format("{}, {} cores", hardware["cpu"].get<std::string>(), hardware["cores"].get<int>()));
  line("features", listed(hardware["features"]));
  line("memory", bytes_text(hardware["memory_bytes"].get<std::uint64_t>()));
  line("threads", fmt::format("{} ({}; --threads of a verb wins, then STAMP_THREADS, then OMP_NUM_THREADS)",
                              threads.number, threads.variable.empty() ? "all usable cores" : threads.variable));
  line("allocation",
       "the worker raises glibc's mmap and trim thresholds at its start, so that large buffers are reused; fresh ones "
       "cost page faults");
  for (const PluginInfo& text : front.catalog.list(PluginKind::text)) {
    try {
      const std::string found = resolve_text(text.name, ".");
      line("text", fmt::format("{}: found{}", text.name, found == text.name ? "" : " (" + found + ")"));
    } catch (const DataError& error) {
      line("text", fmt::format("{}: missing: {}", text.name, error.what()));
    }
  }
  line("runs", fmt::format("./runs: {}", write_access("runs")));
  line("cache", fmt::format("{}: {}", cache_folder().string(), write_access(cache_folder())));
  line("paper values", fs::is_directory(paper_folder()) ? "found" : "missing: set STAMP_CONFIGS to the configs folder");
  line("plots", fs::exists(scripts_folder() / "plot.py")
                    ? "scripts/plot.py found"
                    : "scripts/plot.py missing: set STAMP_SCRIPTS to the scripts folder");

  // LibTorch, its devices and the numeric self-test are the worker's to know.
  try {
    const fs::path program = worker_program();
    // Before the worker prints to the same place, and so that a fault is not the worker's to find.
    std::fflush(stdout);
    if (!std::cout.flush()) throw StoreError("standard output could not be written");
    const WorkerEnd end = run_worker({program, {"doctor", "--threads", std::to_string(threads.number)}, true}, -1);
    if (end.exited && end.code == 0) return ExitCode::done;
    fail(fmt::format("the worker's self-test ended with {}", end.text()));
    return ExitCode::internal;
  } catch (const StoreError&) {
    throw;
  } catch (const Error& error) {
    line("worker", error.what());
    return error.code();
  }
}

}  // namespace

void add_doctor(CLI::App& app, Action& action) {
  add_verb(app, action, "doctor",
           "Versions, threads, processor, data found and missing, write access, and a numeric self-test",
           "  stamp doctor\n"
           "  STAMP_DATA=texts stamp doctor",
           std::make_shared<Options>(), run);
}

}  // namespace stamp
