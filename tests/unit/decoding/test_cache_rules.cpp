// What a trial's settings mean for the chunks of a cache.
#include "base/error.h"
#include "decoding/cache_rules.h"
#include "quant/allocation.h"
#include "support/catch.h"

using namespace stamp;

namespace {

QuantizationSpec settings() {
  QuantizationSpec q;
  q.sequence.options = complete_options(
      [] {
        for (const auto& p : sequence_transforms())
          if (p.info.name == "haar") return p.info;
        return PluginInfo{};
      }(),
      Json::object(), "haar");
  q.allocation.options = complete_options(allocator("two_level").info, Json::object(), "allocation");
  return q;
}

std::string refusal(const QuantizationSpec& q, const DecodeSpec& decode = {}) {
  try {
    cache_rules(q, decode, 16, plain_gemm);
  } catch (const TrialError& e) {
    return e.what();
  }
  return "";
}

double sum(const std::vector<float>& bits) {
  double total = 0;
  for (const float b : bits) total += static_cast<double>(b);
  return total;
}

}  // namespace

TEST_CASE("option A: every chunk has its own high rows, a share of the chunk") {
  DecodeSpec decode;
  const CacheRules rules = cache_rules(settings(), decode, 16, plain_gemm);
  CHECK(rules.transformed());
  CHECK(rules.high_rows == 2);
  CHECK(rules.grid.group == 16);
  for (const std::int64_t index : {0, 1, 9}) {
    CHECK(rules.row_bits(index).size() == 64);
    CHECK(rules.row_bits(index)[1] == 8);
    CHECK(rules.row_bits(index)[2] == 4);
    CHECK(sum(rules.row_bits(index)) == 64 * 4 + 2 * 4);
  }
  // The sink stays outside the transform of the first chunk only.
  CHECK(rules.first != rules.other);
  CHECK(rules.first->tokens() == 64);
  const std::vector<double> l = rules.first->matrix();
  CHECK(l[0] == 1);
  CHECK(std::abs(rules.other->matrix()[0]) < 1);

  decode.chunk = 16;
  CHECK(cache_rules(settings(), decode, 16, plain_gemm).high_rows == 1);
  decode.high_tokens = 5;
  CHECK(cache_rules(settings(), decode, 16, plain_gemm).high_rows == 5);
  decode.high_tokens = 99;
  CHECK(cache_rules(settings(), decode, 16, plain_gemm).high_rows == 16);
  QuantizationSpec all = settings();
  all.sequence.skip_first = 0;
  const CacheRules same = cache_rules(all, decode, 16, plain_gemm);
  CHECK(same.first == same.other);
}

TEST_CASE("option B: the first positions of the sequence are at high bits, wherever chunks end") {
  QuantizationSpec q = settings();
  q.kv_cache.transformed = false;
  DecodeSpec decode;
  decode.chunk = 48;
  const CacheRules rules = cache_rules(q, decode, 16, plain_gemm);
  CHECK_FALSE(rules.transformed());
  CHECK(sum(rules.row_bits(0)) == 48 * 8);
  CHECK(sum(rules.row_bits(1)) == 16 * 8 + 32 * 4);
  CHECK(rules.row_bits(1)[15] == 8);
  CHECK(rules.row_bits(1)[16] == 4);
  CHECK(sum(rules.row_bits(2)) == 48 * 4);

  // The identity transforms nothing, so it is B as well.
  q.kv_cache.transformed = true;
  q.sequence.transform = "identity";
  q.sequence.options = Json::object();
  CHECK_FALSE(cache_rules(q, decode, 16, plain_gemm).transformed());
}

TEST_CASE("16 bits close no chunk; a full continuation closes those of the prompt") {
  QuantizationSpec q = settings();
  DecodeSpec decode;
  q.kv_cache.bits = 16;
  CHECK_FALSE(cache_rules(q, decode, 16, plain_gemm).closes(0));
  q.kv_cache.bits = 4;
  CHECK(cache_rules(q, decode, 16, plain_gemm).closes(1 << 20));
  decode.continuation = "full";
  decode.prefill = 130;
  const CacheRules rules = cache_rules(q, decode, 16, plain_gemm);
  CHECK(rules.closes(0));
  CHECK(rules.closes(1));
  CHECK_FALSE(rules.closes(2));  // it ends behind the prompt
}

TEST_CASE("settings without a meaning for chunks are refused with the reason") {
  QuantizationSpec q = settings();
  CHECK(refusal(q).empty());
  DecodeSpec decode;
  decode.chunk = 1;
  CHECK(refusal(q, decode) ==
        "the chunks of a decoding cache: skip_first is 1 and a chunk has 1 rows: nothing is left to transform");
  q.allocation.options["pick"] = "magnitude";
  CHECK(refusal(q).find("allocation.pick is magnitude") != std::string::npos);
  q = settings();
  q.allocation.kind = "integer";
  CHECK(refusal(q).find("allowed: two_level, uniform") != std::string::npos);
  q = settings();
  q.allocation.options["high_bits"] = 10;
  CHECK(refusal(q).find("rows of 10 bits") != std::string::npos);
  q.allocation.options["high_bits"] = 16;
  CHECK(refusal(q).empty());
  q = settings();
  q.sequence.transform = "klt";
  CHECK(refusal(q).find("needs a basis") != std::string::npos);
  q.sequence.transform = "per_slot";
  CHECK(refusal(q).find("sequence transform per_slot") != std::string::npos);
  q = settings();
  q.sequence.transform = "wht";
  q.sequence.options = Json::object();
  CHECK(refusal(q).find("wht") != std::string::npos);  // 63 rows behind the first token
}

TEST_CASE("bytes and average bits by formula, by hand") {
  CacheRules rules = cache_rules(settings(), {}, 16, plain_gemm);
  // 2 rows of 8 bits, 62 of 4, heads of 16 values: 16 or 8 bytes of levels and 5 of scale a head; 3 open rows.
  CHECK(cache_bytes(rules, 131, 32) == 2 * (2 * 2 * 21 + 62 * 2 * 13) + 3 * 32 * 4);
  CHECK(cache_bytes(rules, 63, 32) == 63 * 32 * 4);
  CHECK(cache_bytes(rules, 0, 32) == 0);
  CHECK(cache_average_bits(rules, 128) == 4.125);
  CHECK(cache_average_bits(rules, 63) == 16);
  CHECK(cache_average_bits(rules, 128 + 32) == Approx((128 * 4.125 + 32 * 16) / 160));
  CHECK(cache_average_bits(rules, 0) == 0);
}
