// What the benchmarks share: options, the best of all repetitions, ratios, numbers from a Python program.
#pragma once
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <map>
#include <string>
#include <vector>

namespace stamp::bench {

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

// Takes `flag` out of the arguments; true when it was there.
inline bool take_flag(std::vector<char*>& arguments, const std::string& flag) {
  return std::erase_if(arguments, [&](const char* a) { return flag == a; }) > 0;
}

// Google Benchmark with every benchmark repeated so often, in random order; the user's own options win.
inline void initialize(std::vector<char*> arguments, int repetitions, const char* least_seconds) {
  std::string interleave = "--benchmark_enable_random_interleaving=true",
              repeat = "--benchmark_repetitions=" + std::to_string(repetitions),
              shortly = std::string("--benchmark_min_time=") + least_seconds;
  arguments.insert(arguments.begin() + 1, {interleave.data(), repeat.data(), shortly.data()});
  int count = static_cast<int>(arguments.size());
  benchmark::Initialize(&count, arguments.data());
}

template <typename Function>
void add(const char* name, Function function) {
  benchmark::RegisterBenchmark(name, function)->UseRealTime()->Unit(benchmark::kMillisecond);
}

// Remembers the best repetition of every benchmark: other work on the machine only ever adds time.
class Best : public benchmark::ConsoleReporter {
 public:
  explicit Best(bool show_each) : ConsoleReporter(OO_Tabular), show_each_(show_each) {}
  void ReportRuns(const std::vector<Run>& runs) override {
    if (show_each_) ConsoleReporter::ReportRuns(runs);
    for (const Run& run : runs) {
      if (run.run_type != Run::RT_Iteration || run.error_occurred) continue;
      double& best = ms_.try_emplace(run.run_name.function_name, std::numeric_limits<double>::infinity()).first->second;
      best = std::min(best, run.GetAdjustedRealTime());
    }
  }
  double ms(const std::string& name) const {  // NaN for one that did not run
    const auto found = ms_.find(name);
    return found == ms_.end() ? unknown : found->second;
  }
  const std::map<std::string, double>& all() const { return ms_; }

 private:
  bool show_each_;
  std::map<std::string, double> ms_;
};

// Nothing where a side is unknown: a filter left it out, or it could not be measured.
inline void ratio(const char* what, double numerator, double denominator, const char* target) {
  const double value = numerator / denominator;
  if (value == value) std::printf("%-66s %6.2f   (%s)\n", what, value, target);
}

// The first numbers that a command prints; empty when it failed or printed fewer.
inline std::vector<double> numbers_of(const std::string& command, std::size_t count) {
  std::FILE* pipe = popen(command.c_str(), "r");
  if (!pipe) return {};
  std::vector<double> numbers(count);
  bool read = true;
  for (double& n : numbers) read = read && std::fscanf(pipe, "%lf", &n) == 1;
  while (std::fgetc(pipe) != EOF) {
  }
  return pclose(pipe) == 0 && read ? numbers : std::vector<double>();
}

// A script of this repository with a Python that has the reference libraries ($STAMP_REFERENCE_PYTHON, else
// .venv-reference, which scripts/reference.sh makes) and as many threads as ours; "" with a message without one.
inline std::string reference_command(const std::string& script, const std::string& arguments, int threads) {
  const char* own = std::getenv("STAMP_REFERENCE_PYTHON");
  const std::string python = own ? own : STAMP_SOURCE_DIR "/.venv-reference/bin/python";
  if (!std::filesystem::exists(python)) {
    std::printf("%s is not there (scripts/reference.sh makes it): nothing to compare with\n", python.c_str());
    return {};
  }
  const std::string count = std::to_string(threads);
  return "OMP_NUM_THREADS=" + count + " '" + python + "' '" STAMP_SOURCE_DIR "/scripts/" + script +
         "' --plain --threads " + count + " " + arguments;
}

}  // namespace stamp::bench
