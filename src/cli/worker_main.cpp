// stamp-worker: runs the trials of a run folder. Started by `stamp run`, which plans, holds the folder's lock and
// starts a new one after a crash; can be started by hand.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/error.h"
#include "base/parallel.h"
#include "cli/catalog.h"
#include "cli/worker_generate.h"
#include "cli/worker_sample.h"
#include "config/schema.h"
#include "engine/runtime.h"
#include "engine/self_test.h"
#include "engine/speed.h"
#include "engine/worker.h"
#include "models/linear.h"
#include "models/network.h"

namespace stamp {

namespace {

Session make_session(int threads) {
  configure_runtime(threads);
  SessionOptions shared;
  shared.plugins = standard_plugins();
  shared.cache_folder = cache_folder();
  shared.gemm = torch_gemm;
  shared.threads = threads;
  shared.arithmetic = arithmetic_name();
  return Session(std::move(shared));
}

int run(const std::string& folder, const std::string& ids_file, bool fail_fast, std::size_t before, int threads) {
  WorkerOptions options;
  options.folder = folder;
  options.ids = read_ids(ids_file);
  options.fail_fast = fail_fast;
  options.before = before;
  options.terminal = isatty(STDERR_FILENO) == 1;
  const FrozenPlan plan = read_plan(RunStore(options.folder).plan_path());
  const Catalog catalog = make_catalog();
  const Schema schema(catalog);

  Session session = make_session(threads);
  return static_cast<int>(run_trials(options, plan, schema, session));
}

// A single request has no other trials: numbers that came out as NaN tell of the model's values, and what is left is a
// setting that the model, the method or the length of the prompt does not go with. docs/exit-codes.md.
ExitCode code_of(const TrialError& error) {
  const std::string& kind = error.kind();
  if (kind == "disk_full") return ExitCode::store;
  for (const char* data : {"nan_metric", "non_finite", "weights", "missing"})
    if (kind == data) return ExitCode::missing;
  return ExitCode::usage;
}

// A request of `stamp generate` or `stamp sample`.
int answer(ExitCode (*verb)(const std::string&, const Schema&, Session&), const std::string& request, int threads) {
  const Catalog catalog = make_catalog();
  const Schema schema(catalog);
  Session session = make_session(threads);
  try {
    return static_cast<int>(verb(request, schema, session));
  } catch (const TrialError& error) {
    throw Error(code_of(error), error.what());
  }
}

// `stamp doctor` says the threads itself, with where their number comes from, and passes them on.
int doctor(int threads, bool given) {
  configure_runtime(threads);
  const Json libraries = library_provenance();
  for (const auto& [name, version] : libraries.items()) fmt::print("{:<16} {}\n", name, version.get<std::string>());
  fmt::print("{:<16} {}\n", "matrix products", linear_backend());
  if (!given) fmt::print("{:<16} {}\n", "threads", threads);
  fmt::print("{:<16} {}\n", "allocator", "glibc mmap and trim thresholds raised to 1 GiB");
  bool passed = true;
  for (const SelfTestResult& r : self_test()) {
    fmt::print("{:<24} {} ({})\n", r.name, r.passed ? "ok" : "WRONG", r.detail);
    passed = passed && r.passed;
  }
  return static_cast<int>(passed ? ExitCode::done : ExitCode::internal);
}

int speed(const std::string& file, int threads) {
  configure_runtime(threads);
  write_file_atomic(file, to_json(measure_speed()).dump(1) + "\n");
  return static_cast<int>(ExitCode::done);
}

int main_checked(int argc, char** argv) {
  CLI::App app{"Runs trials of a STaMP run folder; `stamp run` starts it."};
  app.require_subcommand(1);
  int threads = 0;
  const auto add_threads = [&](CLI::App* verb) {
    verb->add_option(
            "--threads", threads,
            "threads of the numeric kernels (default: $STAMP_THREADS, else $OMP_NUM_THREADS, else all usable cores)")
        ->check(CLI::Range(1, most_threads));
  };
  std::string folder, ids;
  bool fail_fast = false;
  std::size_t before = 0;
  CLI::App* run_verb = app.add_subcommand("run", "run trials of a folder with a frozen plan");
  run_verb->add_option("DIR", folder, "run folder")->required();
  run_verb->add_option("--ids", ids, "file with one trial id a line, in the order to run")->required();
  run_verb->add_flag("--fail-fast", fail_fast, "stop after the first failed trial");
  run_verb->add_option("--before", before, "trials of the same run that an earlier worker was at, for their numbers");
  add_threads(run_verb);
  std::string speed_file;
  CLI::App* speed_verb = app.add_subcommand("speed", "measure what the planner's estimates rest on");
  speed_verb->add_option("FILE", speed_file, "JSON file to write")->required();
  add_threads(speed_verb);
  std::string request;
  CLI::App* generate_verb = app.add_subcommand("generate", "continue a prompt; `stamp generate` writes the request");
  generate_verb->add_option("FILE", request, "request as JSON")->required();
  add_threads(generate_verb);
  CLI::App* sample_verb = app.add_subcommand("sample", "make images; `stamp sample` writes the request");
  sample_verb->add_option("FILE", request, "request as JSON")->required();
  add_threads(sample_verb);
  CLI::App* doctor_verb = app.add_subcommand("doctor", "versions, threads and a numeric self-test");
  add_threads(doctor_verb);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : static_cast<int>(ExitCode::usage);
  }
  const bool given = threads > 0;
  if (!given) threads = default_threads();
  if (speed_verb->parsed()) return speed(speed_file, threads);
  if (generate_verb->parsed()) return answer(run_generate, request, threads);
  if (sample_verb->parsed()) return answer(run_sample, request, threads);
  return run_verb->parsed() ? run(folder, ids, fail_fast, before, threads) : doctor(threads, given);
}

}  // namespace

}  // namespace stamp

int main(int argc, char** argv) {
  try {
    return stamp::main_checked(argc, argv);
  } catch (const stamp::Error& e) {
    fmt::print(stderr, "stamp-worker: {}\n", e.what());
    return static_cast<int>(e.code());
  } catch (const std::exception& e) {
    fmt::print(stderr, "stamp-worker: internal error: {}\n", e.what());
    return static_cast<int>(stamp::ExitCode::internal);
  }
}
