// Channel balancing, centring and the low-rank branch: what they change and what they leave alone.
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>

#include <cmath>

#include "base/seed.h"
#include "methods/channel_balance.h"
#include "methods/hadanorm.h"
#include "methods/svdquant.h"
#include "methods/viditq.h"
#include "unit/methods/bench_of_methods.h"

using namespace stamp;

namespace {

at::Tensor random_matrix(std::int64_t rows, std::int64_t cols, const std::string& purpose) {
  at::Tensor out = at::empty({rows, cols}, at::TensorOptions(at::kFloat));
  RandomStream stream(5, purpose);
  for (std::int64_t i = 0; i < out.numel(); ++i) out.data_ptr<float>()[i] = static_cast<float>(stream.normal());
  return out;
}

LinearSite site_of(std::int64_t features) {
  LinearSite site(SlotInfo{"site.input", SlotKind::linear_input, features, 1, 0, {"a", "b"}});
  site.weights() = {{"a", random_matrix(24, features, "a"), random_matrix(1, 24, "bias").reshape({24})},
                    {"b", random_matrix(8, features, "b"), at::Tensor()}};
  return site;
}

std::shared_ptr<SlotQuantizer> quantizer(double bits, QuantizerWorkspace& workspace) {
  auto q = std::make_shared<SlotQuantizer>();
  q->whole = std::make_shared<RowRules>([bits](std::int64_t tokens, std::int64_t) {
    SequenceTransformRequest request;
    request.tokens = tokens;
    RowRule rule;
    rule.transform = make_sequence_transform("identity", request);
    rule.bits.bits.assign(static_cast<std::size_t>(tokens), static_cast<float>(bits));
    return rule;
  });
  q->workspace = &workspace;
  return q;
}

double squared_distance(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).to(at::kDouble).square().sum().item<double>();
}

MethodContext context_of(const PluginInfo& info, const Json& options) {
  MethodContext context;
  context.options = complete_options(info, options, "test");
  return context;
}

// Logits after the method, unquantized, beside those before it, in shares of the largest.
double change(const Method& method, const MethodContext& context, const std::string& fixture) {
  const auto checkpoint = test::open_fixture(fixture);
  if (!checkpoint) return 0;
  const auto source = std::make_shared<DecoderSource>(checkpoint);
  const std::vector<std::int64_t> ids = test::first_sample(*checkpoint);
  DecoderNetwork network(source), twin(source);
  const at::Tensor expected = test::logits_of(twin, ids);
  test::apply_with_inputs(method, network, twin, test::FixedItems({ids}), context);
  return test::distance(test::logits_of(network, ids), expected) / test::largest(expected);
}

}  // namespace

TEST_CASE("a balanced site computes the same function, with and without a norm that takes the scale") {
  for (const bool norm : {false, true})
    for (const bool rotated : {false, true}) {
      LinearSite site = site_of(48);
      at::Tensor gamma = random_matrix(1, 48, "gamma").reshape({48});
      const at::Tensor rows = random_matrix(10, 48, "rows");
      const auto input = [&] { return norm ? rows.mul(gamma) : rows.clone(); };
      if (norm) site.input_scale = &gamma;
      const std::vector<at::Tensor> before = site.forward(input(), whole_sequence(10));
      std::vector<double> factors(48);
      for (std::size_t j = 0; j < 48; ++j) factors[j] = 0.1 + static_cast<double>(j) / 7;
      balance(site, factors, rotated ? std::shared_ptr<const FeatureTransform>(hadamard(48)) : nullptr);
      CHECK((site.online() != nullptr) == (rotated || !norm));
      const std::vector<at::Tensor> after = site.forward(input(), whole_sequence(10));
      for (std::size_t i = 0; i < 2; ++i)
        CHECK(test::distance(after[i], before[i]) <= test::exact * test::largest(before[i]));
    }
}

TEST_CASE("factors that no division survives count as one") {
  LinearSite site = site_of(16);
  const at::Tensor rows = random_matrix(4, 16, "rows");
  const std::vector<at::Tensor> before = site.forward(rows.clone(), whole_sequence(4));
  std::vector<double> factors(16, 1.0);
  factors[3] = 0;
  factors[4] = NAN;
  factors[5] = INFINITY;
  balance(site, factors, nullptr);
  CHECK(site.online() == nullptr);
  CHECK(test::distance(site.forward(rows.clone(), whole_sequence(4))[0], before[0]) == 0);
}

TEST_CASE("the low-rank branch reads the input before it is quantized") {
  QuantizerWorkspace workspace;
  LinearSite site = site_of(32);
  const at::Tensor x = random_matrix(6, 32, "rows");
  auto branch = std::make_shared<LowRankBranch>();
  branch->down = random_matrix(3, 32, "down");
  branch->up = {random_matrix(24, 3, "up"), random_matrix(8, 3, "up 2")};
  site.set_quantizer(quantizer(2, workspace));
  const std::vector<at::Tensor> without = site.forward(x.clone(), whole_sequence(6));
  site.set_low_rank(branch);
  const std::vector<at::Tensor> with = site.forward(x.clone(), whole_sequence(6));
  for (std::size_t i = 0; i < 2; ++i) {
    const at::Tensor expected = without[i] + x.matmul(branch->down.t()).matmul(branch->up[i].t());
    CHECK(test::distance(with[i], expected) <= 1e-5 * test::largest(expected));
  }
  auto wrong = std::make_shared<LowRankBranch>(*branch);
  wrong->up.pop_back();
  CHECK_THROWS_AS(site.set_low_rank(wrong), std::logic_error);
  site.release();
  CHECK(site.low_rank() == nullptr);
}

TEST_CASE("a centred site leaves a constant sequence exact, each segment with its own mean") {
  QuantizerWorkspace workspace;
  LinearSite site = site_of(32);
  at::Tensor x = at::empty({10, 32}, at::TensorOptions(at::kFloat));
  for (std::int64_t i = 0; i < 10; ++i)
    for (std::int64_t j = 0; j < 32; ++j) view(x).row(i)[j] = static_cast<float>(i < 4 ? j : 7 - 3 * j);
  const std::vector<at::Tensor> exact = site.forward(x.clone(), whole_sequence(10));
  Segments segments(2);
  segments[0].rows = 4;
  segments[1].rows = 6;
  site.set_quantizer(quantizer(2, workspace));
  const double plain = squared_distance(site.forward(x.clone(), segments)[0], exact[0]);
  site.set_centred(true);
  CHECK(plain > 1);
  CHECK(squared_distance(site.forward(x.clone(), segments)[0], exact[0]) == 0);
  // One mean for both would not do.
  CHECK(squared_distance(site.forward(x.clone(), whole_sequence(10))[0], exact[0]) > 1);
}

TEST_CASE("a shifted site quantizes what is left, and its signal is what the layer reads") {
  QuantizerWorkspace workspace;
  LinearSite site = site_of(32);
  std::vector<float> offset(32);
  at::Tensor x = random_matrix(40, 32, "rows"), rest = at::empty_like(x);
  for (std::int64_t j = 0; j < 32; ++j) offset[static_cast<std::size_t>(j)] = static_cast<float>(j % 5 == 0 ? 30 : -3);
  for (std::int64_t i = 0; i < 40; ++i)
    for (std::int64_t j = 0; j < 32; ++j) {
      view(rest).row(i)[j] = view(x).row(i)[j];
      view(x).row(i)[j] += offset[static_cast<std::size_t>(j)];
    }
  const at::Tensor exact = site.forward(x.clone(), whole_sequence(40))[0];
  SlotStatistics plain, shifted, alone;
  const auto through = [&](const at::Tensor& rows, SlotStatistics& sums) {
    auto q = quantizer(4, workspace);
    q->statistics = &sums;
    site.set_quantizer(q);
    return site.forward(rows.clone(), whole_sequence(40))[0];
  };
  const double before = squared_distance(through(x, plain), exact);
  through(rest, alone);
  site.set_shift(InputShift{std::make_shared<const std::vector<float>>(offset), 0});
  const double after = squared_distance(through(x, shifted), exact);
  CHECK(after < before / 20);
  CHECK(shifted.error == Approx(alone.error).epsilon(1e-3));
  CHECK(shifted.signal == Approx(plain.signal).epsilon(1e-6));
  // Rows that come one by one lose it, too: it is known before them. A mean of the sequence is not.
  const auto one_by_one = [] {
    Segment s;
    s.rows = 40;
    s.transformed = false;
    return Segments{s};
  }();
  auto q = quantizer(4, workspace);
  auto both = std::make_shared<SlotQuantizer>(*q);
  both->decode = q->whole;
  site.set_quantizer(both);
  CHECK(squared_distance(site.forward(x.clone(), one_by_one)[0], exact) == Approx(after).epsilon(1e-3));
  site.set_shift(InputShift{nullptr, 1});
  CHECK(squared_distance(site.forward(x.clone(), one_by_one)[0], exact) == Approx(before).epsilon(1e-3));
  CHECK(squared_distance(site.forward(x.clone(), whole_sequence(40))[0], exact) < before / 20);
  site.set_shift(InputShift{std::make_shared<const std::vector<float>>(31), 0});
  CHECK_THROWS_AS(site.forward(x.clone(), whole_sequence(40)), std::logic_error);
}

TEST_CASE("a mean of the sequence leaves skipped rows out") {
  QuantizerWorkspace workspace;
  LinearSite site = site_of(32);
  at::Tensor x = at::ones({16, 32}, at::TensorOptions(at::kFloat));
  for (std::int64_t j = 0; j < 32; ++j) view(x).row(0)[j] = static_cast<float>(1000 * j);  // a sink
  const at::Tensor exact = site.forward(x.clone(), whole_sequence(16))[0];
  site.set_quantizer(quantizer(2, workspace));
  const auto rest_error = [&](const InputShift& shift) {
    site.set_shift(shift);
    return squared_distance(site.forward(x.clone(), whole_sequence(16))[0].slice(0, 1), exact.slice(0, 1));
  };
  CHECK(rest_error({nullptr, 1}) == 0);
  CHECK(rest_error({nullptr, 0}) > 1);
}

TEST_CASE("a mean of the sequence: none of a row alone, no skipped rows on a grid, and watching changes nothing") {
  QuantizerWorkspace workspace;
  LinearSite site = site_of(32);
  at::Tensor x = random_matrix(6, 32, "rows") + 5;
  const std::vector<at::Tensor> exact = site.forward(x.clone(), whole_sequence(6));
  site.set_shift(InputShift{nullptr, 5});
  std::vector<float> seen;
  site.set_observer([&](const SlotInfo&, ConstMatrixView rows) { seen.assign(rows.row(5), rows.row(5) + 32); });
  Segments grid = whole_sequence(6);
  grid[0].width = 3;
  CHECK(at::equal(site.forward(x.clone(), grid)[0], exact[0]));  // observed only
  const at::Tensor mean = x.mean(0);
  for (std::int64_t j = 0; j < 32; ++j)
    CHECK(seen[static_cast<std::size_t>(j)] ==
          Approx(view(x).row(5)[j] - mean.const_data_ptr<float>()[j]).margin(1e-5));
  site.forward(x.clone(), whole_sequence(6));
  for (std::int64_t j = 0; j < 32; ++j) CHECK(seen[static_cast<std::size_t>(j)] == view(x).row(5)[j]);
  site.set_observer(nullptr);
  // One row behind the five skipped ones is its own mean: it keeps its error.
  site.set_quantizer(quantizer(2, workspace));
  const at::Tensor out = site.forward(x.clone(), whole_sequence(6))[0];
  CHECK(squared_distance(out.slice(0, 5), exact[0].slice(0, 5)) > 0.1);
}

TEST_CASE("at high bits every method leaves the function of a decoder as it is") {
  for (const std::string name : {"llama_tiny_untied_bias", "qwen3_tiny", "gemma3_tiny"}) {
    INFO(name);
    CHECK(change(*ViDiTQ::make(), context_of(ViDiTQ::info(), Json::object()), name) <= test::exact);
    CHECK(change(*ViDiTQ::make(), context_of(ViDiTQ::info(), {{"recipe", "2024"}, {"alpha", 0.3}}), name) <=
          test::exact);
    CHECK(change(*ViDiTQ::make(), context_of(ViDiTQ::info(), {{"alpha", 0.01}, {"rotation", "random"}}), name) <=
          test::exact);
    CHECK(change(*HadaNorm::make(), context_of(HadaNorm::info(), Json::object()), name) <= test::exact);
    CHECK(change(*HadaNorm::make(), context_of(HadaNorm::info(), {{"scale", "none"}}), name) <= test::exact);
    MethodContext svd = context_of(SvdQuant::info(), {{"rank", 4}, {"grid", 4}, {"rows", 64}});
    svd.quantization.weights.clip_search = false;
    CHECK(change(*SvdQuant::make(), svd, name) <= test::exact);
  }
}

TEST_CASE("viditq changes the layers that it is told to") {
  const auto checkpoint = test::open_fixture("qwen2_tiny");
  if (!checkpoint) return;
  const auto source = std::make_shared<DecoderSource>(checkpoint);
  DecoderNetwork network(source), twin(source);
  test::apply_with_inputs(*ViDiTQ::make(), network, twin, test::FixedItems({test::first_sample(*checkpoint)}),
                          context_of(ViDiTQ::info(), {{"layers", "last"}}));
  const LinearSite* last = network.block_sites(network.blocks() - 1).back();
  for (LinearSite* site : network.linear_sites()) CHECK((site->online() != nullptr) == (site == last));
}
