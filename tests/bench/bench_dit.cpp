// A denoising step of the DiT in results/cifar10_dit, two samples of guidance, float32: ours beside diffusers' with the
// same threads, and the step with every input rounded to 4 bits behind haar2d beside the full-precision one.
//
//   bench_dit [--no-diffusers] [Google Benchmark's options]
//
// diffusers runs in the Python of $STAMP_REFERENCE_PYTHON, else .venv-reference (scripts/reference.sh makes it).
#include <ATen/core/Tensor.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <c10/core/InferenceMode.h>

#include <cstdio>
#include <string>
#include <vector>

#include "base/parallel.h"
#include "bench/bench_support.h"
#include "engine/runtime.h"
#include "engine/slots.h"
#include "models/diffusion/diffusion_network.h"
#include "models/linear.h"

namespace {

using namespace stamp;

constexpr std::int64_t samples = 2, side = 32, tokens = 256, width = 16;
const std::string folder = STAMP_SOURCE_DIR "/results/cifar10_dit/checkpoint/transformer";

DiffusionNetwork& network() {
  static const auto n = [] {
    const auto source = std::make_shared<DiffusionSource>(std::shared_ptr<const Checkpoint>(open_checkpoint(folder)));
    auto made = make_diffusion_network(source, true);
    for (std::size_t block = 0; block < made->blocks(); ++block) made->pack(block);
    made->pack_ends();
    return made;
  }();
  return *n;
}

WorkItem noisy_images() {
  const at::TensorOptions real(at::kFloat);
  WorkItem item;
  item.inputs["latent"] = at::randn({samples, network().config().in_channels, side, side}, real);
  item.inputs["timestep"] = at::full({samples}, 500.0, real);
  item.inputs["class"] = at::full({samples}, 1, at::TensorOptions(at::kLong));
  return item;
}

void step(benchmark::State& state) {
  const WorkItem item = noisy_images();
  for (auto _ : state) benchmark::DoNotOptimize(network().run(item));
}

// The settings of Table 1: one token in 64 at 8 bits behind haar2d, blocks of 64 channels with a range of their own.
void quantized(benchmark::State& state, bool statistics) {
  TrialSpec spec;
  QuantizationSpec& q = spec.quantization;
  q.activations.granularity = "group";
  q.activations.group_size = 64;
  q.sequence.transform = "haar2d";
  q.sequence.options = {{"levels", 3}};
  q.allocation.options = {{"high_bits", 8}, {"high_tokens", 4}, {"pick", "first"}};
  std::vector<SlotPlan> plans = plan_slots(network(), q);
  set_transforms(plans, q, tokens, torch_gemm, nullptr, width);
  set_bits(plans, q.allocation, tokens, {});
  set_rules(plans, q, tokens, torch_gemm, width);
  const InstalledQuantizers installed(plans, statistics);
  step(state);
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<char*> arguments(argv, argv + argc);
  const bool reference = !bench::take_flag(arguments, "--no-diffusers");
  bench::initialize(arguments, 5, "0.2");
  configure_runtime(default_threads());
  const c10::InferenceMode no_gradients;
  bench::add("step", step);
  bench::add("step, W4A4 haar2d", [](benchmark::State& s) { quantized(s, false); });
  bench::add("step, W4A4 haar2d, statistics", [](benchmark::State& s) { quantized(s, true); });
  bench::Best best(true);
  benchmark::RunSpecifiedBenchmarks(&best);
  std::printf("\nDiT of results/cifar10_dit, 2 x 256 tokens, float32, %d threads, GEMM: %s\n", threads(),
              linear_backend().c_str());
  bench::ratio("step, W4A4 haar2d / full precision", best.ms("step, W4A4 haar2d"), best.ms("step"), "at most 1.4");
  bench::ratio("step with slot statistics / full precision", best.ms("step, W4A4 haar2d, statistics"), best.ms("step"),
               "at most 1.4");
  if (!reference) return 0;
  const std::string command = bench::reference_command("bench_diffusers.py", "'" + folder + "'", threads());
  const std::vector<double> ms = command.empty() ? std::vector<double>() : bench::numbers_of(command, 1);
  if (ms.empty()) return 0;
  std::printf("diffusers, step: %.2f ms\n", ms[0]);
  bench::ratio("diffusers / ours, step", ms[0], best.ms("step"), "at least 1.0, aim 1.2");
  return 0;
}
