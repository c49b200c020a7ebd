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

#include <cstdio>
#include <string>
#include <vector>

#include "base/parallel.h"
#include "bench/bench_support.h"
#include "engine/runtime.h"
#include "engine/slots.h"
#include "models/decoder/decoder_network.h"
#include "models/linear.h"
#include "support/paths.h"

namespace {

using namespace stamp;

constexpr std::int64_t tokens = 2048;

DecoderNetwork& network() {
  static DecoderNetwork n(
      std::make_shared<DecoderSource>(std::shared_ptr<const Checkpoint>(open_checkpoint(test::smollm2().string()))));
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
  set_rules(plans, spec.quantization, tokens, torch_gemm);
  const InstalledQuantizers installed(plans, statistics);
  const WorkItem item = window(false);
  for (auto _ : state) benchmark::DoNotOptimize(network().run(item));
}

double transformers_ms() {
  const std::string command = bench::reference_command(
      "bench_transformers.py", "--tokens " + std::to_string(tokens) + " '" + test::smollm2().string() + "'", threads());
  if (command.empty()) return bench::unknown;
  const std::vector<double> ms = bench::numbers_of(command, 1);
  return ms.empty() ? bench::unknown : ms[0];
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<char*> arguments(argv, argv + argc);
  const bool reference = !bench::take_flag(arguments, "--no-transformers");
  bench::initialize(arguments, 5, "0.01");
  if (test::smollm2().empty()) {
    std::printf("SmolLM2 is not installed: run scripts/setup.sh, or set STAMP_SMOLLM2\n");
    return 0;
  }
  configure_runtime(default_threads());
  bench::add("forward, last logit", [](benchmark::State& s) { forward(s, true); });
  bench::add("forward, all losses", [](benchmark::State& s) { forward(s, false); });
  bench::add("W4A4KV4 haar", [](benchmark::State& s) { quantized(s, false); });
  bench::add("W4A4KV4 haar, statistics", [](benchmark::State& s) { quantized(s, true); });
  bench::Best best(true);
  benchmark::RunSpecifiedBenchmarks(&best);
  std::printf("\n%lld tokens, float32, %d threads, GEMM: %s; peak memory %.2f GB\n", static_cast<long long>(tokens),
              threads(), linear_backend().c_str(), static_cast<double>(peak_memory_bytes()) / 1e9);
  bench::ratio("W4A4KV4 haar / full precision, all losses", best.ms("W4A4KV4 haar"), best.ms("forward, all losses"),
               "at most 1.3, aim 1.15");
  bench::ratio("W4A4KV4 haar with slot statistics / full precision", best.ms("W4A4KV4 haar, statistics"),
               best.ms("forward, all losses"), "at most 1.3, aim 1.15");
  if (reference) {
    const double theirs = transformers_ms();
    std::printf("transformers, last logit: %.0f ms\n", theirs);
    bench::ratio("transformers / ours, last logit only", theirs, best.ms("forward, last logit"),
                 "at least 1.3, aim 1.8");
  }
  return 0;
}
