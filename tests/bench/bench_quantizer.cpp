// The fused quantizer beside a copy, eager ATen operations and torch.compile; the DCT beside a dense product.
// Both sides of a ratio run in one process, repetitions interleaved at random, and the best of each counts: other
// work on the machine only ever adds time. Ratios are printed at the end.
#ifdef STAMP_BENCH_TORCH
#include <ATen/ATen.h>
#endif

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "base/parallel.h"
#include "base/seed.h"
#include "bench/bench_support.h"
#include "quant/grid.h"
#include "quant/sequence_quantizer.h"
#include "transforms/feature_transform.h"

namespace {

using namespace stamp;

constexpr std::int64_t tokens = 2048, features = 4096, high_tokens = 64;
constexpr int levels = 5;

// 64-byte aligned, as LibTorch allocates.
struct Buffer {
  std::int64_t rows, cols;
  float* data;
  Buffer(std::int64_t r, std::int64_t c)
      : rows(r),
        cols(c),
        data(static_cast<float*>(std::aligned_alloc(64, static_cast<std::size_t>(r * c) * sizeof(float)))) {
    std::fill_n(data, r * c, 0.0f);
  }
  ~Buffer() { std::free(data); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  MatrixView view() const { return {data, rows, cols, cols}; }
};

// A slowly varying sequence: what the transform is made for. The time does not depend on the values.
const Buffer& input() {
  static const Buffer x(tokens, features);
  static const bool filled = [] {
    RandomStream stream(1, "bench");
    std::vector<float> row(features);
    for (std::int64_t i = 0; i < tokens; ++i)
      for (std::int64_t j = 0; j < features; ++j)
        x.data[i * features + j] = row[static_cast<std::size_t>(j)] =
            0.9f * row[static_cast<std::size_t>(j)] + static_cast<float>(stream.uniform() - 0.5);
    return true;
  }();
  static_cast<void>(filled);
  return x;
}
const Buffer& output() {
  static const Buffer y(tokens, features);
  return y;
}

RowBits row_bits(std::int64_t s) {
  RowBits bits;
  bits.bits.assign(static_cast<std::size_t>(s), 4.0f);
  std::fill_n(bits.bits.begin(), high_tokens, 8.0f);
  return bits;
}

std::unique_ptr<SequenceTransform> transform(const std::string& name, std::int64_t s) {
  SequenceTransformRequest request;
  request.tokens = s;
  if (name == "haar") request.options["levels"] = levels;
  return make_sequence_transform(name, request);
}

void copy(benchmark::State& state) {
  for (auto _ : state) {
#pragma omp parallel for schedule(static)
    for (std::int64_t i = 0; i < tokens; ++i)
      std::memcpy(output().view().row(i), input().view().row(i), features * sizeof(float));
    benchmark::ClobberMemory();
  }
}

void fused(benchmark::State& state, const std::string& name, bool with_statistics) {
  const auto l = transform(name, tokens);
  const RowBits bits = row_bits(tokens);
  QuantizerWorkspace workspace;
  SlotStatistics statistics;
  for (auto _ : state)
    quantize_sequence(input().view(), *l, bits, {}, output().view(), with_statistics ? &statistics : nullptr,
                      workspace);
}

void fused_in_place(benchmark::State& state, std::int64_t d) {
  const auto l = skip_first(1, transform("haar", tokens - 1));
  const RowBits bits = row_bits(tokens);
  const Buffer x(tokens, d);
  std::copy_n(input().data, tokens * d, x.data);
  QuantizerWorkspace workspace;
  for (auto _ : state) quantize_sequence(x.view(), *l, bits, {}, x.view(), nullptr, workspace);
}

void forward_only(benchmark::State& state, const std::string& name, std::int64_t s, std::int64_t d) {
  const auto l = transform(name, s);
  const Buffer x(s, d);
  std::copy_n(input().data, s * d, x.data);
  for (auto _ : state) transform_forward(*l, x.view());
}

void rotate(benchmark::State& state, std::int64_t d) {
  const auto h = hadamard(d);
  const Buffer x(tokens, d);
  std::copy_n(input().data, tokens * d, x.data);
  for (auto _ : state) h->apply(x.view());
}

// 8.4 million weights a call; SmolLM2-135M has 106 million outside the embedding.
void clip_search(benchmark::State& state, std::int64_t d) {
  const std::int64_t rows = tokens * features / d;
  const Buffer w(rows, d);
  for (auto _ : state) {
    std::copy_n(input().data, rows * d, w.data);
    fake_quantize_weight(w.view(), WeightGrid{});
  }
  state.counters["weights_per_s"] =
      benchmark::Counter(static_cast<double>(rows * d), benchmark::Counter::kIsIterationInvariantRate);
}

#ifdef STAMP_BENCH_TORCH
at::Tensor tensor(const Buffer& b) {
  return at::from_blob(b.data, {b.rows, b.cols}, at::kFloat);
}

// The same steps as whole-tensor operations, as a researcher would write them.
at::Tensor eager_quantize(const at::Tensor& x, const at::Tensor& steps) {
  const double c = std::sqrt(0.5);
  at::Tensor a = x;
  std::vector<at::Tensor> details;
  for (int i = 0; i < levels; ++i) {
    const at::Tensor even = a.slice(0, 0, c10::nullopt, 2), odd = a.slice(0, 1, c10::nullopt, 2);
    details.push_back((even - odd) * c);
    a = (even + odd) * c;
  }
  std::vector<at::Tensor> bands{a};
  bands.insert(bands.end(), details.rbegin(), details.rend());
  const at::Tensor t = at::cat(bands);
  const at::Tensor low = t.amin(1, true).clamp_max(0), high = t.amax(1, true).clamp_min(0);
  const at::Tensor delta = (high - low) / steps, zero = at::round(-low / delta);
  const at::Tensor q = (at::minimum(at::clamp_min(at::round(t / delta) + zero, 0), steps) - zero) * delta;
  std::int64_t n = a.size(0);
  at::Tensor back = q.slice(0, 0, n);
  for (int i = 0; i < levels; ++i) {
    const at::Tensor d = q.slice(0, n, 2 * n);
    back = at::stack({(back + d) * c, (back - d) * c}, 1).reshape({2 * n, x.size(1)});
    n *= 2;
  }
  return back;
}

at::Tensor eager_steps() {
  at::Tensor steps = at::full({tokens, 1}, 15.0f);
  steps.slice(0, 0, high_tokens).fill_(255.0f);
  return steps;
}

void eager(benchmark::State& state) {
  const at::Tensor x = tensor(input()), steps = eager_steps();
  for (auto _ : state) benchmark::DoNotOptimize(eager_quantize(x, steps));
}

void copy_aten(benchmark::State& state) {
  const at::Tensor x = tensor(input());
  at::Tensor y = tensor(output());
  for (auto _ : state) y.copy_(x);
}

void dense_dct(benchmark::State& state, std::int64_t s, std::int64_t d) {
  const auto m = transform("dct", s)->matrix();
  const at::Tensor l = at::from_blob(const_cast<double*>(m.data()), {s, s}, at::kDouble).to(at::kFloat);
  const Buffer x(s, d);
  std::copy_n(input().data, s * d, x.data);
  at::Tensor y = at::empty({s, d});
  const at::Tensor xs = tensor(x);
  for (auto _ : state) at::mm_out(y, l, xs);
}

// Guards the comparison: both sides compute the same thing.
double largest_gap() {
  QuantizerWorkspace workspace;
  quantize_sequence(input().view(), *transform("haar", tokens), row_bits(tokens), {}, output().view(), nullptr,
                    workspace);
  const at::Tensor gap = (eager_quantize(tensor(input()), eager_steps()) - tensor(output())).abs();
  return (gap > 1e-4).to(at::kDouble).mean().item<double>();
}
#endif

// Milliseconds of torch.compile for the same shape, by the Python of .venv; NaN without one.
double compiled_ms() {
  const std::string python = STAMP_SOURCE_DIR "/.venv/bin/python";
  if (!std::filesystem::exists(python)) return bench::unknown;
  const std::vector<double> ms = bench::numbers_of("OMP_NUM_THREADS=" + std::to_string(threads()) + " '" + python +
                                                       "' '" STAMP_SOURCE_DIR "/scripts/bench_compile.py' --plain",
                                                   2);
  return ms.empty() ? bench::unknown : ms[0];
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<char*> arguments(argv, argv + argc);
  const bool compile = !bench::take_flag(arguments, "--no-compile");
  bench::initialize(arguments, 15, "0.05");
  tune_allocator();

  bench::add("copy", copy);
  bench::add("fused haar 5", [](benchmark::State& s) { fused(s, "haar", false); });
  bench::add("fused haar 5, statistics", [](benchmark::State& s) { fused(s, "haar", true); });
  bench::add("fused identity", [](benchmark::State& s) { fused(s, "identity", false); });
  bench::add("fused wht", [](benchmark::State& s) { fused(s, "wht", false); });
  bench::add("fused dct", [](benchmark::State& s) { fused(s, "dct", false); });
  bench::add("haar in place, 576 features", [](benchmark::State& s) { fused_in_place(s, 576); });
  bench::add("haar in place, 1536 features", [](benchmark::State& s) { fused_in_place(s, 1536); });
  bench::add("wht forward 2048 x 576", [](benchmark::State& s) { forward_only(s, "wht", 2048, 576); });
  bench::add("dct forward 2048 x 576", [](benchmark::State& s) { forward_only(s, "dct", 2048, 576); });
  bench::add("dct forward 2047 x 576", [](benchmark::State& s) { forward_only(s, "dct", 2047, 576); });
  bench::add("hadamard 576", [](benchmark::State& s) { rotate(s, 576); });
  bench::add("hadamard 1536", [](benchmark::State& s) { rotate(s, 1536); });
  bench::add("clip search, rows of 576", [](benchmark::State& s) { clip_search(s, 576); });
  bench::add("clip search, rows of 1536", [](benchmark::State& s) { clip_search(s, 1536); });
#ifdef STAMP_BENCH_TORCH
  bench::add("copy, ATen", copy_aten);
  bench::add("eager ATen", eager);
  bench::add("dense product 2047 x 576", [](benchmark::State& s) { dense_dct(s, 2047, 576); });
  std::printf("share of values that differ from eager ATen (rounding ties): %.1e\n", largest_gap());
#endif
  bench::Best best(false);
  benchmark::RunSpecifiedBenchmarks(&best);

  double load[1] = {0};
  if (getloadavg(load, 1) != 1) load[0] = -1;
  std::printf("\n%d threads, load average %.1f, best of all repetitions:\n", threads(), load[0]);
  for (const auto& [name, ms] : best.all()) std::printf("%-62s %8.3f ms\n", name.c_str(), ms);
  std::printf("\nratios:\n");
  const double ours = best.ms("fused haar 5");
  double copied = best.ms("copy");
#ifdef STAMP_BENCH_TORCH
  copied = std::min(copied, best.ms("copy, ATen"));
  bench::ratio("eager ATen / fused haar", best.ms("eager ATen"), ours, "at least 4, aim 6");
  bench::ratio("dense product / dct by FFT, 2047 x 576", best.ms("dense product 2047 x 576"),
               best.ms("dct forward 2047 x 576"), "above 1: the FFT wins");
#endif
  bench::ratio("copy / fused haar (fraction of copy bandwidth)", copied, ours, "at least 0.3, aim 0.5");
  bench::ratio("with statistics / without", best.ms("fused haar 5, statistics"), ours, "aim 1.1 at most");
  if (compile) {
    const double ms = compiled_ms();
    if (ms == ms)
      bench::ratio("torch.compile / fused haar", ms, ours, "at least 2, aim 3");
    else
      std::printf("torch.compile: not measured (no .venv, or scripts/bench_compile.py failed)\n");
  }
  const double slower = std::max(best.ms("clip search, rows of 576"), best.ms("clip search, rows of 1536"));
  if (slower == slower)
    std::printf("%-62s %6.2f s\n", "clip search of SmolLM2's 106 million weights", slower / 1e3 * 106 / 8.39);
  return 0;
}
