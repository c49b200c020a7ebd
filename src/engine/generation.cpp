#include "engine/generation.h"

#include <ATen/core/Tensor.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "decoding/cached_sequence.h"
#include "decoding/text_stream.h"
#include "engine/runner.h"

namespace stamp {

namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::int64_t pick(const at::Tensor& logits, const TokenSampling& sampling, std::int64_t index) {
  return next_token({logits.const_data_ptr<float>(), static_cast<std::size_t>(logits.numel())}, sampling,
                    static_cast<std::uint64_t>(index));
}

std::vector<SlotPlan> activation_plans(Network& network, const TrialSpec& spec, std::int64_t tokens, Gemm gemm) {
  QuantizationSpec q = spec.quantization;
  q.kv_cache.bits = 16;  // the cache quantizes what it stores itself
  std::vector<SlotPlan> plans = plan_slots(network, q);
  for (const SequenceTransformPlugin& p : sequence_transforms())
    if (!plans.empty() && p.info.name == q.sequence.transform && p.info.needs_calibration)
      throw TrialError("unsupported", "sequence transform " + p.info.name +
                                          " is calibrated for one length of sequence; a prompt has its own");
  if (!plans.empty() && needs_row_energies(q.allocation))
    throw TrialError("unsupported", "allocation " + q.allocation.kind +
                                        " needs energies of sequences of one length; a prompt has its own");
  set_transforms(plans, q, tokens, gemm, {});
  set_bits(plans, q.allocation, tokens, {});
  set_rules(plans, q, tokens, gemm);
  return plans;
}

}  // namespace

GenerationReport generate(Session& session, TrialSpec spec, const GenerationRequest& request,
                          const std::function<bool(std::string_view)>& give, const std::function<bool()>& stopped,
                          Monitor& monitor) {
  const c10::InferenceMode no_gradients;
  spec.evaluate.clear();  // no evaluation text is opened
  session.open(spec, monitor);
  const Tokenizer* tokenizer = session.model().tokenizer();
  if (!tokenizer) throw DataError(spec.model.path + ": the model has no tokenizer, so no text can be continued");
  const std::vector<std::int64_t> ends = session.model().end_tokens();
  const std::vector<std::int32_t> prompt = tokenizer->encode(request.prompt, true);
  if (prompt.empty()) throw ConfigError("the prompt has no tokens; give at least one character");

  Network& network = session.prepared(spec, monitor);
  const auto tokens = static_cast<std::int64_t>(prompt.size());
  spec.decode.prefill = tokens;
  const std::vector<SlotPlan> plans = activation_plans(network, spec, tokens, session.options().gemm);
  session.shift_inputs(spec, plans, monitor);
  const InstalledQuantizers installed(plans, false);
  const CacheShape shape = cache_shape(network);
  CachedSequence sequence(network,
                          cache_rules(spec.quantization, spec.decode, shape.head_dim(), session.options().gemm),
                          request.view, spec.decode.continuation == "full");

  GenerationReport report;
  report.prompt_tokens = tokens;
  report.weight_bits = std::min(spec.quantization.weights.bits, 16.0);
  report.prompt_bits = average_bits(network, plans, spec.quantization.weights).value("activation_bits", 16.0);
  report.decode_bits = spec.decode.continuation == "full" ? 16.0 : std::min(spec.quantization.activations.bits, 16.0);

  TextStream stream(*tokenizer, prompt);
  bool read = true;
  auto start = std::chrono::steady_clock::now();
  at::Tensor logits = sequence.prefill(std::vector<std::int64_t>(prompt.begin(), prompt.end()));
  report.prefill_s = seconds_since(start);
  while (true) {
    if (stopped()) {
      report.end = "interrupted";
      break;
    }
    const std::int64_t id = pick(logits, request.sampling, report.new_tokens);
    if (std::find(ends.begin(), ends.end(), id) != ends.end()) {
      report.end = "end of text";
      break;
    }
    ++report.new_tokens;
    const std::string text = stream.push(static_cast<std::int32_t>(id));
    read = text.empty() || give(text);
    if (!read || report.new_tokens == request.max_tokens) {
      report.end = read ? "max tokens" : "nobody reads";
      break;
    }
    start = std::chrono::steady_clock::now();
    logits = sequence.step(id);
    report.decode_s += seconds_since(start);
    ++report.steps;
  }
  if (const std::string rest = stream.finish(); read && !rest.empty()) give(rest);

  const SequenceCache& cache = sequence.cache();
  report.cache_tokens = cache.tokens();
  report.stored_bytes = cache.stored_bytes();
  report.working_bytes = cache.working_bytes();
  report.float_bytes = static_cast<std::uint64_t>(2 * shape.layers * shape.width * cache.tokens()) * sizeof(float);
  report.cache_bits = cache_average_bits(cache.rules(), cache.tokens());
  return report;
}

std::string text_of(const GenerationReport& r) {
  const auto per_token = [&](std::uint64_t bytes) {
    return static_cast<double>(bytes) / static_cast<double>(std::max<std::int64_t>(r.cache_tokens, 1));
  };
  std::string text = fmt::format("prompt   {} tokens in {:.3f} s, {:.0f} tokens/s\n", r.prompt_tokens, r.prefill_s,
                                 static_cast<double>(r.prompt_tokens) / r.prefill_s);
  text += fmt::format("decoding {} tokens", r.new_tokens);
  if (r.steps > 0)
    text += fmt::format(", {:.1f} ms/token over {} steps", 1e3 * r.decode_s / static_cast<double>(r.steps), r.steps);
  text += fmt::format("; ended by: {}\n", r.end);
  text += fmt::format(
      "cache    {} tokens, {:.0f} bytes/token stored ({:.0f} as float32), {:.0f} bytes/token beside for attention\n",
      r.cache_tokens, per_token(r.stored_bytes), per_token(r.float_bytes), per_token(r.working_bytes));
  text += fmt::format("bits     weights {:.4g}, activations {:.4g} in the prompt and {:.4g} behind it, cache {:.4g}",
                      r.weight_bits, r.prompt_bits, r.decode_bits, r.cache_bits);
  return text;
}

}  // namespace stamp
