// What a slot does with an activation: online transform, observer, quantizer, product.
#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>

#include <cmath>
#include <functional>
#include <random>

#include "base/error.h"
#include "models/decoder/decoder_network.h"
#include "models/linear.h"
#include "models/network.h"
#include "models/tensors.h"
#include "models/weight_algebra.h"
#include "quant/grid.h"
#include "transforms/sequence_transform.h"
#include "unit/models/fixtures.h"

using namespace stamp;

namespace {

at::Tensor random_matrix(std::int64_t rows, std::int64_t cols, unsigned seed) {
  at::Tensor out = fresh_matrix(rows, cols);
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  for (std::int64_t i = 0; i < out.numel(); ++i) out.data_ptr<float>()[i] = normal(generator);
  return out;
}

double difference(const at::Tensor& a, const at::Tensor& b) {
  double top = 0;
  for (std::int64_t i = 0; i < a.numel(); ++i)
    top = std::max(top, std::abs(static_cast<double>(a.const_data_ptr<float>()[i]) -
                                 static_cast<double>(b.const_data_ptr<float>()[i])));
  return top;
}

at::Tensor plain_product(const at::Tensor& x, const at::Tensor& w, const at::Tensor& bias) {
  at::Tensor out = fresh_matrix(x.size(0), w.size(0));
  for (std::int64_t i = 0; i < x.size(0); ++i)
    for (std::int64_t j = 0; j < w.size(0); ++j) {
      double sum = bias.defined() ? static_cast<double>(bias.const_data_ptr<float>()[j]) : 0;
      for (std::int64_t k = 0; k < x.size(1); ++k)
        sum += static_cast<double>(const_view(x).row(i)[k]) * static_cast<double>(const_view(w).row(j)[k]);
      view(out).row(i)[j] = static_cast<float>(sum);
    }
  return out;
}

std::shared_ptr<SlotQuantizer> quantizer(std::int64_t tokens, double bits, std::int64_t group,
                                         QuantizerWorkspace& workspace, SlotStatistics* statistics = nullptr) {
  auto q = std::make_shared<SlotQuantizer>();
  SequenceTransformRequest request;
  request.tokens = tokens;
  RowRule rule;
  rule.transform = make_sequence_transform("identity", request);
  rule.bits.bits.assign(static_cast<std::size_t>(tokens), static_cast<float>(bits));
  q->whole = std::make_shared<RowRules>([rule](std::int64_t, std::int64_t) { return rule; });
  q->grid.group = group;
  q->workspace = &workspace;
  q->statistics = statistics;
  return q;
}

LinearSite site_of(std::int64_t out, std::int64_t in) {
  LinearSite site(SlotInfo{"site.input", SlotKind::linear_input, in, 1, 0, {"a", "b"}});
  site.weights() = {{"a", random_matrix(out, in, 1), random_matrix(1, out, 2).reshape({out})},
                    {"b", random_matrix(out + 1, in, 3), at::Tensor()}};
  return site;
}

}  // namespace

TEST_CASE("packed and plain products are the double product") {
  for (const std::int64_t rows : {1, 5, 64}) {
    LinearSite site = site_of(33, 48);
    const at::Tensor x = random_matrix(rows, 48, 4);
    const std::vector<at::Tensor> expected = {plain_product(x, site.weights()[0].weight, site.weights()[0].bias),
                                              plain_product(x, site.weights()[1].weight, {})};
    for (int packed = 0; packed < 2; ++packed) {
      const std::vector<at::Tensor> got = site.forward(x, whole_sequence(x.size(0)));
      REQUIRE(got.size() == 2);
      for (std::size_t i = 0; i < 2; ++i)
        CHECK(difference(got[i], expected[i]) <= 48 * 6e-8 * 20);  // 48 roundings of sums below 20
      site.pack();
      site.pack();
      CHECK_FALSE(site.weights()[0].weight.defined());
    }
  }
}

TEST_CASE("a slot quantizes a copy of what others still read, and its own tensor in place") {
  LinearSite site = site_of(8, 16);
  QuantizerWorkspace workspace;
  SlotStatistics statistics;
  site.set_quantizer(quantizer(6, 4, 0, workspace, &statistics));
  const at::Tensor x = random_matrix(6, 16, 5);
  const at::Tensor kept = contiguous_copy(x);
  at::Tensor quantized = contiguous_copy(x);
  for (std::int64_t i = 0; i < 6; ++i) {
    const std::span<float> row(view(quantized).row(i), 16);
    const std::vector<float> in(row.begin(), row.end());
    fake_quantize_group(in, Grid{}, row);
  }
  const at::Tensor expected = plain_product(quantized, site.weights()[0].weight, site.weights()[0].bias);
  CHECK(difference(site.forward(x, whole_sequence(x.size(0)))[0], expected) <= 1e-5);
  CHECK(difference(x, kept) == 0);
  CHECK(statistics.samples == 1);
  at::Tensor own = contiguous_copy(x);
  const float* storage = own.const_data_ptr<float>();
  CHECK(difference(site.forward(std::move(own), whole_sequence(x.size(0)))[0], expected) <= 1e-5);
  CHECK(storage != nullptr);
  site.set_quantizer(nullptr);
  CHECK(difference(site.forward(x, whole_sequence(x.size(0)))[0],
                   plain_product(x, site.weights()[0].weight, site.weights()[0].bias)) <= 1e-5);
}

TEST_CASE("the observer sees the activation behind the online transform and before the quantizer") {
  LinearSite site = site_of(8, 16);
  const std::shared_ptr<const FeatureTransform> r = hadamard(16);
  QuantizerWorkspace workspace;
  site.set_online(r);
  site.set_quantizer(quantizer(6, 2, 0, workspace));
  const at::Tensor x = random_matrix(6, 16, 6);
  at::Tensor rotated = contiguous_copy(x);
  r->apply(view(rotated));
  int calls = 0;
  site.set_observer([&](const SlotInfo& info, ConstMatrixView activation) {
    ++calls;
    CHECK(info.name == "site.input");
    for (std::int64_t i = 0; i < activation.rows; ++i)
      for (std::int64_t j = 0; j < activation.cols; ++j) CHECK(activation.row(i)[j] == view(rotated).row(i)[j]);
  });
  site.forward(x, whole_sequence(x.size(0)));
  CHECK(calls == 1);
}

TEST_CASE("an online transform cancels against weights rotated with it") {
  LinearSite site = site_of(8, 24);
  const std::shared_ptr<const FeatureTransform> r = hadamard(24);
  const at::Tensor x = random_matrix(6, 24, 7);
  const at::Tensor expected = site.forward(x, whole_sequence(x.size(0)))[0];
  WeightRotation(*r).rotate_inputs(site.weights()[0].weight);
  CHECK(difference(site.forward(x, whole_sequence(x.size(0)))[0], expected) > 0.1);
  site.set_online(r);
  CHECK(difference(site.forward(x, whole_sequence(x.size(0)))[0], expected) <= 1e-5);
}

TEST_CASE("rotated outputs are the outputs times the transform, block by block, bias included") {
  LinearSite site = site_of(24, 10);
  const std::shared_ptr<const FeatureTransform> r = hadamard(12);
  const at::Tensor x = random_matrix(5, 10, 8);
  at::Tensor expected = contiguous_copy(site.forward(x, whole_sequence(x.size(0)))[0]);
  r->apply({expected.data_ptr<float>(), 10, 12, 12});
  LinearWeight& w = site.weights()[0];
  WeightRotation(*r).rotate_outputs(w.weight, w.bias);
  CHECK(difference(site.forward(x, whole_sequence(x.size(0)))[0], expected) <= 1e-5);
}

TEST_CASE("caches are rotated and quantized head by head") {
  CacheSite cache(SlotInfo{"key_cache", SlotKind::key_cache, 32, 2, 0, {}});
  const std::shared_ptr<const FeatureTransform> r = hadamard(16);
  cache.set_head_rotation(r);
  const at::Tensor k = random_matrix(5, 32, 9), q = random_matrix(5, 64, 10);
  at::Tensor rotated_k = contiguous_copy(k), rotated_q = contiguous_copy(q);
  cache.process(rotated_k, whole_sequence(5));
  cache.rotate(rotated_q);
  for (std::int64_t i = 0; i < 5; ++i)
    for (std::int64_t h = 0; h < 4; ++h) {
      double before = 0, after = 0;
      for (std::int64_t d = 0; d < 16; ++d) {
        before += static_cast<double>(const_view(q).row(i)[h * 16 + d]) *
                  static_cast<double>(const_view(k).row(i)[h / 2 * 16 + d]);
        after += static_cast<double>(view(rotated_q).row(i)[h * 16 + d]) *
                 static_cast<double>(view(rotated_k).row(i)[h / 2 * 16 + d]);
      }
      CHECK(after == Approx(before).margin(1e-4));
    }
  CHECK(difference(rotated_k, k) > 0.1);

  QuantizerWorkspace workspace;
  cache.set_quantizer(quantizer(5, 4, 16, workspace));
  at::Tensor quantized = contiguous_copy(k), expected = contiguous_copy(rotated_k);
  cache.process(quantized, whole_sequence(5));
  for (std::int64_t g = 0; g < 10; ++g) {
    const std::span<float> head(expected.data_ptr<float>() + g * 16, 16);
    const std::vector<float> in(head.begin(), head.end());
    fake_quantize_group(in, Grid{}, head);
  }
  CHECK(difference(quantized, expected) <= 1e-5);
}

TEST_CASE("a transform for another number of tokens is a trial's error") {
  LinearSite site = site_of(8, 16);
  QuantizerWorkspace workspace;
  site.set_quantizer(quantizer(7, 4, 0, workspace));
  CHECK_THROWS_AS(site.forward(random_matrix(6, 16, 11), whole_sequence(6)), TrialError);
}

TEST_CASE("every segment is quantized by the rule of its length and kind") {
  LinearSite site = site_of(8, 16);
  QuantizerWorkspace workspace;
  std::vector<std::int64_t> asked;
  auto q = std::make_shared<SlotQuantizer>();
  const auto rules = [&](double bits) {
    return std::make_shared<RowRules>([&asked, bits](std::int64_t n, std::int64_t) {
      asked.push_back(n);
      SequenceTransformRequest request;
      request.tokens = n;
      RowRule rule;
      rule.transform = make_sequence_transform("identity", request);
      rule.bits.bits.assign(static_cast<std::size_t>(n), static_cast<float>(bits));
      return rule;
    });
  };
  q->whole = rules(8);
  q->decode = rules(2);
  q->workspace = &workspace;
  const at::Tensor x = random_matrix(9, 16, 12);
  at::Tensor expected = contiguous_copy(x);
  Grid grid;
  for (const auto& [first, count, bits] : {std::tuple{0, 4, 8.0}, {4, 3, 2.0}, {7, 2, 2.0}}) {
    grid.bits = bits;
    const MatrixView rows{view(expected).row(first), count, 16, 16};
    fake_quantize_rows(rows, grid, rows);
  }
  const at::Tensor products = contiguous_copy(site.forward(expected, whole_sequence(9))[0]);
  site.set_quantizer(q);
  const Segments segments{{4, 0, -1, true}, {3, 4, 0, false}, {2, 4, 0, false}};
  CHECK(difference(site.forward(x, segments)[0], products) <= 1e-5);
  site.forward(x, segments);
  // Every length once; neighbours whose rows come one by one are taken together.
  CHECK(asked == std::vector<std::int64_t>{4, 5});
  q->decode = nullptr;
  CHECK_THROWS_AS(site.forward(x, segments), std::logic_error);
}

TEST_CASE("continuations give what whole sequences give") {
  for (const std::string name : {"llama_tiny_llama3rope", "qwen2_tiny_window"}) {
    const auto checkpoint = test::open_fixture(name);
    if (!checkpoint) return;
    DecoderNetwork network(std::make_shared<DecoderSource>(checkpoint));
    const auto ids = [](std::int64_t count, std::int64_t step) {
      at::Tensor out = at::empty({count}, at::TensorOptions(at::kLong));
      for (std::int64_t i = 0; i < count; ++i) out.data_ptr<std::int64_t>()[i] = (i * step + 3) % 97;
      return out;
    };
    const at::Tensor prompt = ids(13, 5), first = ids(6, 7), second = ids(9, 11);
    const auto want_last = [](WorkItem& item, std::int64_t from, std::int64_t to) {
      at::Tensor wanted = at::empty({to - from}, at::TensorOptions(at::kLong));
      for (std::int64_t i = from; i < to; ++i) wanted.data_ptr<std::int64_t>()[i - from] = i;
      item.inputs["want_logits"] = wanted;
      item.inputs["without_loss"] = wanted;
    };
    WorkItem tree;
    tree.inputs["ids"] = at::cat({prompt, first, second});
    tree.segments = {{13, 0, -1, true}, {6, 13, 0, true}, {9, 13, 0, true}};
    want_last(tree, 13, 28);
    const at::Tensor together = contiguous_copy(network.run(tree).named.at("logits"));
    std::int64_t row = 0;
    for (const at::Tensor& continuation : {first, second}) {
      WorkItem alone;
      alone.inputs["ids"] = at::cat({prompt, continuation});
      want_last(alone, 13, 13 + continuation.size(0));
      const at::Tensor logits = network.run(alone).named.at("logits");
      CHECK(difference(logits, contiguous_copy(together.narrow(0, row, continuation.size(0)))) <= 1e-5);
      row += continuation.size(0);
    }
    // Scores of targets are those of the logits.
    tree.inputs.erase("want_logits");
    at::Tensor targets = at::empty({2, 2}, at::TensorOptions(at::kLong));
    const std::int64_t wanted[] = {14, 5, 27, 96};
    std::copy_n(wanted, 4, targets.data_ptr<std::int64_t>());
    tree.inputs["targets"] = targets;
    const Outputs scored = network.run(tree);
    for (int t = 0; t < 2; ++t) {
      const float* logits = const_view(together).row(t == 0 ? 1 : 14);
      double sum = 0;
      std::int64_t top = 0;
      for (std::int64_t j = 0; j < together.size(1); ++j) {
        sum += std::exp(static_cast<double>(logits[j]));
        if (logits[j] > logits[top]) top = j;
      }
      const std::int64_t id = wanted[2 * t + 1];
      CHECK(static_cast<double>(scored.named.at("target_logprob").const_data_ptr<float>()[t]) ==
            Approx(static_cast<double>(logits[id]) - std::log(sum)).margin(1e-4));
      CHECK(scored.named.at("target_greedy").const_data_ptr<std::int64_t>()[t] == (id == top ? 1 : 0));
    }
    tree.segments[2].position = 12;
    CHECK_THROWS_AS(network.run(tree), std::logic_error);
  }
}

TEST_CASE("quantized caches reach attention everywhere") {
  const auto checkpoint = test::open_fixture("llama_tiny_llama3rope");
  if (!checkpoint) return;
  DecoderNetwork network(std::make_shared<DecoderSource>(checkpoint));
  WorkItem item;
  item.inputs["ids"] = at::empty({40}, at::TensorOptions(at::kLong));
  for (std::int64_t i = 0; i < 40; ++i) item.inputs["ids"].data_ptr<std::int64_t>()[i] = i * 5 % 97;
  const at::Tensor plain = network.run(item).named.at("token_nll");
  QuantizerWorkspace workspace;
  for (CacheSite* cache : network.cache_sites()) {
    cache->set_quantizer(quantizer(40, 3, 16, workspace));
    CHECK(difference(network.run(item).named.at("token_nll"), plain) > 1e-3);
    cache->set_quantizer(quantizer(40, 16, 16, workspace));
    CHECK(difference(network.run(item).named.at("token_nll"), plain) <= 1e-5);
    cache->set_quantizer(nullptr);
  }
  CHECK(difference(network.run(item).named.at("token_nll"), plain) == 0);
  item.inputs["ids"].data_ptr<std::int64_t>()[7] = 97;
  CHECK_THROWS_AS(network.run(item), DataError);
}

TEST_CASE("GGUF's paired rows come back in the order of the HF file, exactly") {
  const auto checkpoint = test::open_fixture("gguf_permute_tiny");
  if (!checkpoint) return;
  for (const std::string name : {"q", "k"}) {
    const at::Tensor expected = load_matrix(checkpoint->at("hf." + name));
    CHECK(difference(load_unpaired(checkpoint->at("gguf." + name), 16), expected) == 0);
    CHECK(difference(load_matrix(checkpoint->at("gguf." + name)), expected) > 0);
  }
}

TEST_CASE("a tensor of whole numbers is refused before threads read it, whatever reads it") {
  const std::vector<std::int32_t> values(128 * 4, 1);
  TensorInfo whole;
  whole.name = "some.weight";
  whole.type = DType::i32;
  whole.shape = {128, 4};
  whole.data = reinterpret_cast<const std::byte*>(values.data());
  whole.bytes = values.size() * sizeof(std::int32_t);
  const auto refused = [](const std::function<void()>& read) {
    try {
      read();
    } catch (const DataError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  const std::string expected = "tensor \"some.weight\" holds I32 values, where numbers with a fraction are needed";
  const std::vector<std::int64_t> ids{3, 1};
  std::vector<float> out(8);
  CHECK(refused([&] { load_matrix(whole); }) == expected);
  CHECK(refused([&] { load_vector(whole); }) == expected);
  CHECK(refused([&] { gather_rows(whole, ids.data(), 2, out.data()); }) == expected);
}
