// Networks on a cache: greedy continuations of transformers token for token, and decoding in runs against one by one.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <cmath>

#include "base/seed.h"
#include "decoding/cached_sequence.h"
#include "decoding/sampler.h"
#include "models/decoder/decoder_network.h"
#include "quant/allocation.h"
#include "unit/decoding/golden.h"
#include "unit/models/fixtures.h"

using namespace stamp;

namespace {

using Ids = std::vector<std::int64_t>;

std::unique_ptr<DecoderNetwork> network_of(const std::shared_ptr<const Checkpoint>& checkpoint) {
  auto network = std::make_unique<DecoderNetwork>(std::make_shared<DecoderSource>(checkpoint));
  network->pack();
  return network;
}

std::span<const float> values_of(const at::Tensor& logits) {
  return {logits.const_data_ptr<float>(), static_cast<std::size_t>(logits.numel())};
}

Ids greedy(Network& network, const CacheRules& rules, const Ids& prompt, std::size_t count) {
  CachedSequence sequence(network, rules, CacheView::rebuild);
  Ids out;
  at::Tensor logits = sequence.prefill(prompt);
  while (out.size() < count) {
    out.push_back(likeliest(values_of(logits)));
    if (out.size() < count) logits = sequence.step(out.back());
  }
  return out;
}

QuantizationSpec four_bits() {
  QuantizationSpec q;
  for (const auto& p : sequence_transforms())
    if (p.info.name == "haar") q.sequence.options = complete_options(p.info, Json::object(), "haar");
  q.allocation.options = complete_options(allocator("two_level").info, Json{{"high_tokens", 4}}, "allocation");
  return q;
}

DecodeSpec small_chunks() {
  DecodeSpec decode;
  decode.chunk = 8;
  decode.high_tokens = 2;
  return decode;
}

// The losses of a window by plain runs of the whole network, without a cache.
std::vector<double> plain_losses(DecoderNetwork& network, const Ids& ids, std::int64_t from) {
  WorkItem item;
  at::Tensor tokens = at::empty({static_cast<std::int64_t>(ids.size())}, at::TensorOptions(at::kLong));
  std::copy(ids.begin(), ids.end(), tokens.data_ptr<std::int64_t>());
  item.inputs["ids"] = tokens;
  const at::Tensor all = network.run(item).named.at("token_nll");
  std::vector<double> out;
  for (std::int64_t i = from - 1; i < all.numel(); ++i)
    out.push_back(static_cast<double>(all.const_data_ptr<float>()[i]));
  return out;
}

template <class A, class B>
double worst(const std::vector<A>& a, const std::vector<B>& b) {
  double top = a.size() == b.size() ? 0 : INFINITY;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    top = std::max(top, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  return top;
}

// Haar over a whole prompt, the first rows at 8 bits; single rows at 4.
void quantize_activations(Network& network, const QuantizationSpec& q) {
  static QuantizerWorkspace workspace;
  auto quantizer = std::make_shared<SlotQuantizer>();
  const auto rule = [q](const std::string& transform, const std::string& allocation, std::int64_t n) {
    SequenceTransformRequest request;
    request.tokens = n;
    request.high_tokens = 4;
    if (transform == "haar") request.options = q.sequence.options;
    AllocationRequest bits;
    bits.tokens = n;
    bits.options = q.allocation.options;
    return RowRule{make_sequence_transform(transform, request), allocator(allocation).allocate(bits)};
  };
  quantizer->whole =
      std::make_shared<RowRules>([=](std::int64_t n, std::int64_t) { return rule("haar", "two_level", n); });
  quantizer->decode =
      std::make_shared<RowRules>([=](std::int64_t n, std::int64_t) { return rule("identity", "uniform", n); });
  quantizer->workspace = &workspace;
  for (LinearSite* site : network.linear_sites()) site->set_quantizer(quantizer);
}

Ids some_ids(std::size_t count, std::int64_t vocabulary) {
  RandomStream stream(3, "test ids");
  Ids ids;
  for (std::size_t i = 0; i < count; ++i)
    ids.push_back(static_cast<std::int64_t>(stream.below(static_cast<std::uint64_t>(vocabulary))));
  return ids;
}

}  // namespace

TEST_CASE("greedy decoding of the tiny models is that of transformers, token for token") {
  const Json golden = test::generate_golden().at("fixtures");
  REQUIRE(golden.size() == 7);
  for (const auto& [name, cases] : golden.items()) {
    const auto checkpoint = test::open_fixture(name);
    if (!checkpoint) return;
    const auto network = network_of(checkpoint);
    for (const Json& c : cases) {
      CAPTURE(name, c.at("margin").get<double>());
      const auto expected = c.at("ids").get<Ids>();
      CHECK(greedy(*network, {}, c.at("prompt").get<Ids>(), expected.size()) == expected);
    }
  }
}

TEST_CASE("greedy decoding of SmolLM2 is that of transformers, token for token", "[smollm2]") {
  const std::string path = test::smollm2_path();
  if (path.empty()) {
    WARN("skipped: SmolLM2 is not installed (scripts/setup.sh)");
    return;
  }
  const auto network = network_of(open_checkpoint(path));
  for (const Json& c : test::generate_golden().at("smollm2")) {
    const auto expected = c.at("ids").get<Ids>();
    CAPTURE(c.at("text").get<std::string>(), c.at("margin").get<double>());
    CHECK(greedy(*network, {}, c.at("prompt").get<Ids>(), expected.size()) == expected);
  }
}

TEST_CASE("full precision on a cache gives the losses of a plain run") {
  for (const std::string name :
       {"llama_tiny_llama3rope", "mistral_tiny_window5", "qwen3_tiny", "gemma2_tiny", "gemma3_tiny"}) {
    const auto checkpoint = test::open_fixture(name);
    if (!checkpoint) return;
    const auto network = network_of(checkpoint);
    const Ids ids = some_ids(40, checkpoint->at("model.embed_tokens.weight").shape[0]);
    for (const std::int64_t prompt : {1, 13, 39}) {
      CAPTURE(name, prompt);
      CachedSequence sequence(*network, {}, CacheView::rebuild);
      // Losses around 10; the order of sums in products of 48 to 96 terms differs between runs of different length.
      CHECK(worst(sequence.losses(ids, prompt, 7), plain_losses(*network, ids, prompt)) < 1e-4);
    }
  }
}

TEST_CASE("decoding in runs up to the end of a chunk is decoding token by token") {
  const auto checkpoint = test::open_fixture("llama_tiny_llama3rope");
  if (!checkpoint) return;
  const auto network = network_of(checkpoint);
  const Ids ids = some_ids(70, 97);
  for (const bool quantized_activations : {false, true})
    for (const bool transformed : {true, false}) {
      CAPTURE(quantized_activations, transformed);
      QuantizationSpec q = four_bits();
      q.kv_cache.transformed = transformed;
      if (quantized_activations) quantize_activations(*network, q);
      const CacheRules rules = cache_rules(q, small_chunks(), cache_shape(*network).head_dim(), plain_gemm);
      CachedSequence one(*network, rules, CacheView::rebuild), runs(*network, rules, CacheView::rebuild),
          kept(*network, rules, CacheView::keep);
      const std::vector<float> expected = one.losses(ids, 30, 1);
      const std::vector<float> together = runs.losses(ids, 30, 512);
      CHECK(together == kept.losses(ids, 30, 512));
      // Rounding of products of different height. A level that fell the other way would show as 1e-2 and more.
      CHECK(worst(together, expected) < 1e-3);
      CHECK(runs.cache().tokens() == 69);
      CHECK(runs.cache().stored_bytes() == one.cache().stored_bytes());
    }
}

TEST_CASE("with activations in full precision a prompt may come in one run or token by token") {
  const auto checkpoint = test::open_fixture("llama_tiny_llama3rope");
  if (!checkpoint) return;
  const auto network = network_of(checkpoint);
  const Ids ids = some_ids(60, 97);
  const CacheRules rules = cache_rules(four_bits(), small_chunks(), cache_shape(*network).head_dim(), plain_gemm);
  CachedSequence whole(*network, rules, CacheView::rebuild), single(*network, rules, CacheView::rebuild);
  std::vector<float> a = whole.losses(ids, 45, 512), b = single.losses(ids, 1, 1);
  b.erase(b.begin(), b.begin() + 44);
  CHECK(worst(a, b) < 1e-3);
}

TEST_CASE("a cache takes the rows that follow it and no others") {
  const auto checkpoint = test::open_fixture("llama_tiny_llama3rope");
  if (!checkpoint) return;
  const auto network = network_of(checkpoint);
  CachedSequence sequence(*network, {}, CacheView::rebuild);
  const Ids ids = some_ids(5, 97);
  sequence.prefill(ids);
  CHECK_THROWS_AS(sequence.prefill(ids), std::logic_error);
  CHECK_THROWS_AS(sequence.losses(ids, 2, 1), std::logic_error);
  CHECK_THROWS_AS(CachedSequence(*network, {}, CacheView::rebuild).losses(ids, 5, 1), std::logic_error);
}
