// The fused quantizer on the token grid of PixArt-Sigma at 1024 x 1024 (64 x 64 tokens, 1152 features, blocks of 64)
// beside the same steps as eager ATen operations. Both sides run in one process, repetitions interleaved at random, and
// the best of each counts.
#include <ATen/ATen.h>

#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "base/parallel.h"
#include "base/seed.h"
#include "bench/bench_support.h"
#include "quant/sequence_quantizer.h"

namespace {

using namespace stamp;

constexpr std::int64_t side = 64, tokens = side * side, features = 1152, group = 64, high_tokens = 64;
constexpr int levels = 3;

const at::Tensor& input() {
  static const at::Tensor x = [] {
    at::Tensor t = at::empty({tokens, features});
    RandomStream stream(1, "bench");
    for (std::int64_t i = 0; i < t.numel(); ++i) t.data_ptr<float>()[i] = static_cast<float>(stream.uniform() - 0.5);
    return t;
  }();
  return x;
}

std::unique_ptr<SequenceTransform> transform(const std::string& name) {
  SequenceTransformRequest request;
  request.tokens = tokens;
  request.grid_height = request.grid_width = side;
  if (name == "haar2d") request.options["levels"] = levels;
  return make_sequence_transform(name, request);
}

MatrixView rows_of(at::Tensor& t) {
  return {t.data_ptr<float>(), t.size(0), t.size(1), t.size(1)};
}

void quantize(const SequenceTransform& l, at::Tensor& out, QuantizerWorkspace& workspace) {
  RowBits bits;
  bits.bits.assign(tokens, 4.0f);
  std::fill_n(bits.bits.begin(), high_tokens, 8.0f);
  ActivationGrid grid;
  grid.group = group;
  at::Tensor x = input();
  quantize_sequence(rows_of(x), l, bits, grid, rows_of(out), nullptr, workspace);
}

void fused(benchmark::State& state, const std::string& name) {
  const auto l = transform(name);
  QuantizerWorkspace workspace;
  at::Tensor out = at::empty_like(input());
  for (auto _ : state) quantize(*l, out, workspace);
}

at::Tensor eager_quantize(const at::Tensor& x, const at::Tensor& steps) {
  std::vector<at::Tensor> bands;
  at::Tensor low = x.view({side, side, features});
  for (int i = 0; i < levels; ++i) {
    const at::Tensor top = low.slice(0, 0, c10::nullopt, 2), bottom = low.slice(0, 1, c10::nullopt, 2);
    const at::Tensor p = top.slice(1, 0, c10::nullopt, 2), q = top.slice(1, 1, c10::nullopt, 2);
    const at::Tensor r = bottom.slice(1, 0, c10::nullopt, 2), u = bottom.slice(1, 1, c10::nullopt, 2);
    const auto keep = [&](const at::Tensor& band) { bands.push_back(band.reshape({-1, features}) * 0.5); };
    keep(p - q - r + u);
    keep(p + q - r - u);
    keep(p - q + r - u);
    low = (p + q + r + u) * 0.5;
  }
  bands.push_back(low.reshape({-1, features}));
  const at::Tensor t = at::cat(std::vector<at::Tensor>(bands.rbegin(), bands.rend())).view({tokens, -1, group});
  const at::Tensor least = t.amin(2, true).clamp_max(0), most = t.amax(2, true).clamp_min(0);
  const at::Tensor delta = (most - least) / steps, zero = at::round(-least / delta);
  const at::Tensor y =
      ((at::minimum(at::clamp_min(at::round(t / delta) + zero, 0), steps) - zero) * delta).view({tokens, features});
  std::int64_t n = side >> levels;
  low = y.slice(0, 0, n * n).view({n, n, features});
  for (int i = 0; i < levels; ++i, n *= 2) {
    const auto band = [&](int k) { return y.slice(0, k * n * n, (k + 1) * n * n).view({n, n, features}); };
    const at::Tensor hl = band(1), lh = band(2), hh = band(3);
    const at::Tensor top = at::stack({low + hl + lh + hh, low - hl + lh - hh}, 2).view({n, 2 * n, features});
    const at::Tensor bottom = at::stack({low + hl - lh - hh, low - hl - lh + hh}, 2).view({n, 2 * n, features});
    low = at::stack({top, bottom}, 1).view({2 * n, 2 * n, features}) * 0.5;
  }
  return low.view({tokens, features});
}

at::Tensor eager_steps() {
  at::Tensor steps = at::full({tokens, 1, 1}, 15.0f);
  steps.slice(0, 0, high_tokens).fill_(255.0f);
  return steps;
}

void eager(benchmark::State& state) {
  const at::Tensor steps = eager_steps();
  for (auto _ : state) benchmark::DoNotOptimize(eager_quantize(input(), steps));
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<char*> arguments(argv, argv + argc);
  bench::initialize(arguments, 15, "0.05");
  tune_allocator();
  at::Tensor out = at::empty_like(input());
  QuantizerWorkspace workspace;
  quantize(*transform("haar2d"), out, workspace);
  // Guards the comparison: both sides compute the same thing.
  std::printf("share of values that differ from eager ATen (rounding ties): %.1e\n",
              ((eager_quantize(input(), eager_steps()) - out).abs() > 1e-4).to(at::kDouble).mean().item<double>());
  bench::add("fused haar2d 3", [](benchmark::State& s) { fused(s, "haar2d"); });
  bench::add("fused dct2d", [](benchmark::State& s) { fused(s, "dct2d"); });
  bench::add("eager ATen", eager);
  bench::Best best(false);
  benchmark::RunSpecifiedBenchmarks(&best);
  std::printf("\n%d threads, best of all repetitions:\n", threads());
  for (const auto& [name, ms] : best.all()) std::printf("%-62s %8.3f ms\n", name.c_str(), ms);
  bench::ratio("eager ATen / fused haar2d", best.ms("eager ATen"), best.ms("fused haar2d 3"), "at least 4");
  return 0;
}
