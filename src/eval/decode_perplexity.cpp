#include "eval/decode_perplexity.h"

#include <ATen/core/Tensor.h>
#include <fmt/format.h>

#include <optional>

#include "base/error.h"
#include "decoding/cached_sequence.h"
#include "eval/loss_metrics.h"
#include "models/network.h"
#include "results/record.h"

namespace stamp {

namespace {

// Rows of an unquantized cache that enter together; quantized ones end where a chunk does.
constexpr std::int64_t most_rows = 512;

class DecodePerplexityEvaluator : public Evaluator {
 public:
  explicit DecodePerplexityEvaluator(EvaluatorContext context) : context_(std::move(context)) {
    if (!context_.spec) throw std::logic_error("decode_perplexity needs the trial's settings");
  }

  bool runs_itself() const override { return true; }
  void observe(const WorkItem&, const Outputs&) override {}

  void run(Network& network, const WorkItem& item) override {
    const DecodeSpec& decode = context_.spec->decode;
    const at::Tensor ids = item.inputs.at("ids").contiguous();
    const std::span tokens(ids.const_data_ptr<std::int64_t>(), static_cast<std::size_t>(ids.numel()));
    if (decode.prefill >= ids.numel())
      throw TrialError("unsupported",
                       fmt::format("decode.prefill is {} and a window has {} tokens: none is left to decode",
                                   decode.prefill, ids.numel()));
    if (!rules_) {
      shape_ = cache_shape(network);
      rules_ = context_.full_precision
                   ? CacheRules()
                   : cache_rules(context_.spec->quantization, decode, shape_.head_dim(), context_.gemm);
    }
    CachedSequence sequence(network, *rules_, CacheView::keep, decode.continuation == "full");
    const std::vector<float> losses = sequence.losses(tokens, decode.prefill, most_rows);
    means_.push_back(checked_mean(losses, "decode_perplexity", item.index));
    tokens_ = sequence.cache().tokens();
    bytes_ = sequence.cache().stored_bytes();
  }

  std::vector<Metric> finish(const std::vector<SlotResult>&) override {
    if (means_.empty()) return {};
    std::vector<Metric> all = loss_metrics(means_, metric("", 0, ""), "decode_");
    // Of the full sequence, open rows included; float32 rows where nothing is quantized.
    all.push_back(metric("cache_bytes_per_token", static_cast<double>(bytes_) / static_cast<double>(tokens_), "bytes"));
    all.push_back(metric("cache_bits", cache_average_bits(*rules_, tokens_), "bits"));
    return all;
  }

 private:
  Metric metric(const char* name, double value, const char* unit) const {
    Metric m;
    m.name = name;
    m.value = value;
    m.unit = unit;
    m.over = context_.items;
    m.n = static_cast<std::int64_t>(means_.size());
    m.leak_free = true;  // what was transformed, the prompt and full chunks, lies before every token that is scored
    m.protocol = fmt::format("{}, tokens behind {}", context_.protocol, context_.spec->decode.prefill);
    return m;
  }

  EvaluatorContext context_;
  CacheShape shape_;
  std::optional<CacheRules> rules_;
  std::vector<double> means_;
  std::int64_t tokens_ = 0;
  std::uint64_t bytes_ = 0;
};

}  // namespace

std::unique_ptr<Evaluator> DecodePerplexity::make(const EvaluatorContext& context) {
  return std::make_unique<DecodePerplexityEvaluator>(context);
}

}  // namespace stamp
