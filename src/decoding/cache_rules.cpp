#include "decoding/cache_rules.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace stamp {
namespace {

// The identity is option B whatever the settings say: there is nothing to transform.
bool transforms_caches(const QuantizationSpec& q) {
  return q.kv_cache.transformed && q.sequence.transform != "identity";
}

std::unique_ptr<SequenceTransform> chunk_transform(const QuantizationSpec& q, std::int64_t rows, std::int64_t high_rows,
                                                   Gemm gemm) {
  SequenceTransformRequest request;
  request.tokens = rows;
  request.high_tokens = std::max<std::int64_t>(high_rows, 1);  // 0 means "not known" to the transforms
  request.options = q.sequence.options;
  request.gemm = gemm;
  return make_sequence_transform(q.sequence.transform, request);
}

[[noreturn]] void refuse(const std::string& why) {
  throw TrialError("unsupported", "the chunks of a decoding cache: " + why);
}

}  // namespace

std::vector<float> CacheRules::row_bits(std::int64_t index) const {
  const std::int64_t high =
      transformed() ? high_rows : std::clamp<std::int64_t>(high_positions - index * chunk, 0, chunk);
  std::vector<float> bits_of_rows(static_cast<std::size_t>(chunk), static_cast<float>(bits));
  std::fill_n(bits_of_rows.begin(), std::min(high, chunk), static_cast<float>(std::max(bits, high_bits)));
  return bits_of_rows;
}

CacheRules cache_rules(const QuantizationSpec& q, const DecodeSpec& decode, std::int64_t head_dim, Gemm gemm) {
  CacheRules rules;
  rules.bits = q.kv_cache.bits;
  rules.chunk = decode.chunk;
  if (!rules.quantizes()) return rules;
  rules.grid.symmetric = q.kv_cache.symmetric;
  rules.grid.clip = q.kv_cache.clip;
  rules.grid.group = q.kv_cache.granularity == "head" ? head_dim : 0;
  if (decode.continuation == "full") rules.open_beyond = decode.prefill;

  if (q.allocation.kind == "uniform") {
    rules.high_rows = rules.high_positions = 0;
  } else if (q.allocation.kind == "two_level") {
    if (text_option(q.allocation.options, "pick") != "first")
      refuse("high-precision rows are the first ones; allocation.pick is " + text_option(q.allocation.options, "pick"));
    rules.high_bits = real_option(q.allocation.options, "high_bits");
    rules.high_rows =
        std::min(count_option({{"high_tokens", decode.high_tokens}}, "high_tokens", rules.chunk), rules.chunk);
    // A share is one of the prompt: how long the sequence gets is not known.
    rules.high_positions = count_option(q.allocation.options, "high_tokens", decode.prefill);
  } else {
    refuse("allocation " + q.allocation.kind +
           " gives bits to the rows of a whole sequence; allowed: two_level, uniform");
  }
  if (std::max(rules.high_bits, rules.bits) > 8 && rules.high_bits < 16)
    refuse(fmt::format("rows of {} bits are not packed; allowed: up to 8, or 16", rules.high_bits));
  if (!transforms_caches(q)) return rules;

  if (needs_basis(q.sequence.transform))
    refuse("sequence transform " + q.sequence.transform + " needs a basis calibrated for the chunk's length");
  const std::int64_t skip = q.sequence.skip_first;
  if (skip >= rules.chunk)
    refuse(fmt::format("skip_first is {} and a chunk has {} rows: nothing is left to transform", skip, rules.chunk));
  rules.other = chunk_transform(q, rules.chunk, rules.high_rows, gemm);
  rules.first = rules.other;
  // The attention sink is the sequence's first token; later chunks have none.
  if (skip > 0) rules.first = skip_first(skip, chunk_transform(q, rules.chunk - skip, rules.high_rows - skip, gemm));
  return rules;
}

namespace {

// Visits the runs of rows that share bits: (rows, bits).
template <typename Visit>
void over_rows(const CacheRules& rules, std::int64_t tokens, Visit visit) {
  std::int64_t closed = 0;
  for (std::int64_t index = 0; rules.closes(index) && (index + 1) * rules.chunk <= tokens; ++index) {
    closed = (index + 1) * rules.chunk;
    for (const float bits : rules.row_bits(index)) visit(1, static_cast<double>(bits));
  }
  visit(tokens - closed, 16.0);
}

}  // namespace

std::uint64_t cache_bytes(const CacheRules& rules, std::int64_t tokens, std::int64_t cols) {
  std::uint64_t bytes = 0;
  over_rows(rules, tokens,
            [&](std::int64_t rows, double bits) { bytes += packed_row_bytes(rows, cols, bits, rules.grid.group); });
  return bytes;
}

double cache_average_bits(const CacheRules& rules, std::int64_t tokens) {
  double sum = 0;
  over_rows(rules, tokens,
            [&](std::int64_t rows, double bits) { sum += static_cast<double>(rows) * std::min(bits, 16.0); });
  return tokens > 0 ? sum / static_cast<double>(tokens) : 0;
}

}  // namespace stamp
