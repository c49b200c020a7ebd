// decode_perplexity against the losses of a plain run, and what it says beside them.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <cmath>

#include "base/error.h"
#include "config/spec.h"
#include "eval/decode_perplexity.h"
#include "models/decoder/decoder_network.h"
#include "quant/allocation.h"
#include "results/record.h"
#include "unit/models/fixtures.h"

using namespace stamp;

namespace {

WorkItem window(std::int64_t tokens) {
  WorkItem item;
  at::Tensor ids = at::empty({tokens}, at::TensorOptions(at::kLong));
  for (std::int64_t i = 0; i < tokens; ++i) ids.data_ptr<std::int64_t>()[i] = (i * i * 7 + 3 * i) % 97;
  item.inputs["ids"] = ids;
  return item;
}

TrialSpec spec_of(double cache_bits) {
  TrialSpec spec;
  spec.quantization.kv_cache.bits = cache_bits;
  for (const auto& p : sequence_transforms())
    if (p.info.name == "haar") spec.quantization.sequence.options = complete_options(p.info, Json::object(), "haar");
  spec.quantization.allocation.options = complete_options(allocator("two_level").info, Json::object(), "allocation");
  spec.decode.prefill = 20;
  spec.decode.chunk = 8;
  return spec;
}

double value_of(const std::vector<Metric>& metrics, const std::string& name) {
  for (const Metric& m : metrics)
    if (m.name == name) return m.value;
  return -1;
}

}  // namespace

TEST_CASE("in full precision it is the perplexity of the tokens behind the prompt") {
  const auto checkpoint = test::open_fixture("llama_tiny_llama3rope");
  if (!checkpoint) return;
  DecoderNetwork network(std::make_shared<DecoderSource>(checkpoint));
  const TrialSpec spec = spec_of(4);
  EvaluatorContext context;
  context.spec = &spec;
  context.full_precision = true;
  context.protocol = "a text";
  const auto metric = DecodePerplexity::make(context);
  REQUIRE(metric->runs_itself());
  double sum = 0;
  for (const std::int64_t tokens : {40, 33}) {
    const WorkItem item = window(tokens);
    metric->run(network, item);
    const at::Tensor losses = network.run(item).named.at("token_nll");
    double own = 0;
    for (std::int64_t i = 19; i < tokens - 1; ++i) own += static_cast<double>(losses.const_data_ptr<float>()[i]);
    sum += own / static_cast<double>(tokens - 20);
  }
  const std::vector<Metric> metrics = metric->finish({});
  CHECK(value_of(metrics, "decode_nll") == Approx(sum / 2).epsilon(1e-5));
  CHECK(value_of(metrics, "decode_perplexity") == Approx(std::exp(sum / 2)).epsilon(1e-4));
  CHECK(metrics.front().n == 2);
  CHECK(metrics.front().items.size() == 2);
  CHECK(metrics.front().protocol == "a text, tokens behind 20");
  CHECK(metrics.front().leak_free);
  // Float32 keys and values of three layers, two heads of 16.
  CHECK(value_of(metrics, "cache_bytes_per_token") == 3 * 2 * 32 * 4);
  CHECK(value_of(metrics, "cache_bits") == 16);
}

TEST_CASE("a quantized cache costs loss and saves bytes; a prompt that fills the window is refused") {
  const auto checkpoint = test::open_fixture("llama_tiny_llama3rope");
  if (!checkpoint) return;
  DecoderNetwork network(std::make_shared<DecoderSource>(checkpoint));
  const TrialSpec exact = spec_of(16), rounded = spec_of(2);
  std::vector<std::vector<Metric>> results;
  for (const TrialSpec* spec : {&exact, &rounded}) {
    EvaluatorContext context;
    context.spec = spec;
    const auto metric = DecodePerplexity::make(context);
    metric->run(network, window(41));
    results.push_back(metric->finish({}));
  }
  CHECK(std::abs(value_of(results[0], "decode_nll") - value_of(results[1], "decode_nll")) > 1e-3);
  CHECK(value_of(results[1], "cache_bytes_per_token") < value_of(results[0], "cache_bytes_per_token"));
  CHECK(value_of(results[1], "cache_bits") == (2.0 * 7 + 8) / 8);  // 40 rows: five chunks with one high row each

  EvaluatorContext context;
  context.spec = &rounded;
  CHECK_THROWS_AS(DecodePerplexity::make(context)->run(network, window(20)), TrialError);
  CHECK(DecodePerplexity::make(context)->finish({}).empty());
}
