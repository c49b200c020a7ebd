// GPTQ of SmolLM2-135M's blocks beside the same algorithm in eager PyTorch, with the same threads, weights and
// calibration ids: 16 windows of 2048, W4 per channel, symmetric, clip search, true-sequential. All blocks cost the
// same, so the first few are enough; the best repetition of each side counts.
//
//   bench_gptq [--blocks N] [--repeats N] [--items N] [--no-eager]
//
// The eager side is scripts/bench_gptq.py, in the Python that scripts/reference.sh installs. It runs in two ways: as
// published (one forward pass for every set of weights and one more, one Hessian for every weight) and with this
// program's schedule (one pass that stops at every site, one Hessian for all weights that share an input).
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <chrono>
#include <cstring>
#include <ctime>
#include <functional>

#include "base/parallel.h"
#include "bench/bench_support.h"
#include "models/decoder/decoder_network.h"
#include "models/linear.h"
#include "models/tensors.h"
#include "support/paths.h"
#include "weights/gptq.h"

namespace {

using namespace stamp;

constexpr std::int64_t tokens = 2048;

// Ids that scripts/bench_gptq.py makes too.
class Ids : public Workload {
 public:
  explicit Ids(std::int64_t items) : items_(items) {}
  std::int64_t count() const override { return items_; }
  std::int64_t tokens_per_item() const override { return tokens; }
  WorkItem item(std::int64_t i) const override {
    WorkItem item;
    item.index = i;
    at::Tensor ids = at::empty({tokens}, at::TensorOptions(at::kLong));
    for (std::int64_t t = 0; t < tokens; ++t) ids.data_ptr<std::int64_t>()[t] = (t * 7919 + i * 104729 + 1116) % 49152;
    item.inputs["ids"] = ids;
    return item;
  }
  Json description() const override { return {}; }
  std::string protocol() const override { return "synthetic ids"; }

 private:
  std::int64_t items_;
};

// Seconds by the clock, and of all threads together: on a busy machine the second says more, if threads that wait sleep
// (OMP_WAIT_POLICY=passive).
struct Measured {
  double seconds = bench::unknown, processor = bench::unknown, error = bench::unknown;
};

Measured measure(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  const std::clock_t processor = std::clock();
  work();
  return {std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(),
          static_cast<double>(std::clock() - processor) / CLOCKS_PER_SEC, bench::unknown};
}

std::vector<BlockState> entered(Network& network, const Workload& items) {
  std::vector<BlockState> states;
  for (std::int64_t i = 0; i < items.count(); ++i) states.push_back({network.enter(items.item(i)), {}});
  return states;
}

// One GPTQ of the first blocks; the error of the rows behind them, relative to full precision.
class Ours {
 public:
  Ours(std::int64_t blocks, std::int64_t items)
      : source_(std::make_shared<DecoderSource>(open_checkpoint(test::smollm2().string()))),
        blocks_(static_cast<std::size_t>(blocks)),
        items_(items) {
    DecoderNetwork network(source_, false);
    reference_ = entered(network, items_);
    for (std::size_t b = 0; b < blocks_; ++b) {
      network.load(b);
      network.pack(b);
      for (std::size_t i = 0; i < reference_.size(); ++i)
        network.forward(b, reference_[i].residual, items_.item(static_cast<std::int64_t>(i)));
    }
  }

  Measured run() const {
    DecoderNetwork network(source_, false);
    for (std::size_t b = 0; b < blocks_; ++b) network.load(b);
    std::vector<BlockState> states = entered(network, items_);
    WeightContext context;
    context.spec.options = complete_options(WeightGptq::info(), Json::object(), "gptq");
    context.calibration = &items_;
    context.states = &states;
    const auto quantizer = WeightGptq::make();
    Measured m = measure([&] {
      for (std::size_t b = 0; b < blocks_; ++b) quantizer->quantize(network, b, context);
    });
    double error = 0, energy = 0;
    for (std::size_t i = 0; i < states.size(); ++i) {
      const float *ours = states[i].residual.const_data_ptr<float>(),
                  *full = reference_[i].residual.const_data_ptr<float>();
      for (std::int64_t j = 0; j < states[i].residual.numel(); ++j) {
        const double difference = static_cast<double>(ours[j]) - static_cast<double>(full[j]);
        error += difference * difference;
        energy += static_cast<double>(full[j]) * static_cast<double>(full[j]);
      }
    }
    m.error = error / energy;
    return m;
  }

 private:
  std::shared_ptr<const DecoderSource> source_;
  std::size_t blocks_;
  Ids items_;
  std::vector<BlockState> reference_;
};

Measured eager(const char* schedule, std::int64_t blocks, std::int64_t items) {
  const std::string command = bench::reference_command(
      "bench_gptq.py",
      std::string("--schedule ") + schedule + " --blocks " + std::to_string(blocks) + " --items " +
          std::to_string(items) + " --tokens " + std::to_string(tokens) + " '" + test::smollm2().string() + "'",
      threads());
  if (command.empty()) return {};
  const std::vector<double> numbers = bench::numbers_of(command, 3);
  return numbers.empty() ? Measured{} : Measured{numbers[0], numbers[1], numbers[2]};
}

void keep_best(Measured& best, const Measured& next) {
  if (best.seconds <= next.seconds) return;
  best = next;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<char*> arguments(argv, argv + argc);
  const bool compare = !bench::take_flag(arguments, "--no-eager");
  std::int64_t blocks = 3, repeats = 2, items = 16;
  for (std::size_t i = 1; i < arguments.size(); i += 2) {
    const std::string name = arguments[i];
    std::int64_t* value = name == "--blocks"    ? &blocks
                          : name == "--repeats" ? &repeats
                          : name == "--items"   ? &items
                                                : nullptr;
    if (!value || i + 1 == arguments.size() || (*value = std::atoll(arguments[i + 1])) < 1) {
      std::fprintf(stderr, "usage: bench_gptq [--blocks N] [--repeats N] [--items N] [--no-eager]\n");
      return 2;
    }
  }
  if (test::smollm2().empty()) {
    std::printf("SmolLM2 is not installed: run scripts/setup.sh, or set STAMP_SMOLLM2\n");
    return 0;
  }
  if (const char* wanted = std::getenv("STAMP_THREADS")) set_threads(std::max(1, std::atoi(wanted)));
  at::set_num_threads(threads());
  tune_allocator();

  const Ours ours(blocks, items);
  Measured mine, same, published;
  for (std::int64_t r = 0; r < repeats; ++r) {
    keep_best(mine, ours.run());
    if (!compare) continue;
    keep_best(same, eager("staged", blocks, items));
    keep_best(published, eager("published", blocks, items));
  }
  const auto per_block = [&](double seconds) { return seconds / static_cast<double>(blocks); };
  std::printf("GPTQ, W4, the first %lld of 30 blocks of SmolLM2, %lld x %lld tokens, %d threads, GEMM: %s\n",
              static_cast<long long>(blocks), static_cast<long long>(items), static_cast<long long>(tokens), threads(),
              linear_backend().c_str());
  const auto show = [&](const char* what, const Measured& m) {
    if (m.seconds == m.seconds)
      std::printf(
          "%-30s %6.2f s a block, %6.2f of all threads; %6.1f s for 30; relative error of the rows behind %.5f\n", what,
          per_block(m.seconds), per_block(m.processor), 30 * per_block(m.seconds), m.error);
  };
  show("ours", mine);
  show("eager PyTorch, this schedule", same);
  show("eager PyTorch, as published", published);
  const char* busy = "the same in seconds of all threads";
  bench::ratio("eager PyTorch, as published / ours", published.seconds, mine.seconds, "at least 2");
  bench::ratio("", published.processor, mine.processor, busy);
  bench::ratio("eager PyTorch, this schedule / ours", same.seconds, mine.seconds, "no target: forward passes dominate");
  bench::ratio("", same.processor, mine.processor, busy);
  return 0;
}
