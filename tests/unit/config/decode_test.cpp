// The section decode: it matters only when text is decoded, and each key only where it can change a result.
#include "fixture.h"
#include "support/catch.h"

using namespace stamp;
using namespace stamp::testing;

namespace {

const char* const decoding = "schema: 1\nmodel: {path: a.gguf}\nevaluate: [decode_perplexity]\n";

Json decode_of(const std::string& rest) {
  const Json all = canonical(apply(read(decoding + rest), {}), schema());
  return all.value("decode", Json());
}
std::string fault(const std::string& rest) {
  try {
    read(decoding + rest);
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("decode enters an id only where it can change a number", "[decode]") {
  const Json plain = canonical(apply(read("schema: 1\nmodel: {path: a.gguf}\ndecode: {chunk: 16}\n"), {}), schema());
  CHECK_FALSE(plain.contains("decode"));
  CHECK(decode_of("").dump() == R"({"prefill":1024,"chunk":64,"high_tokens":"s/32","continuation":"quantized"})");
  // Raw positions have no transformed rows, float32 rows no chunks.
  CHECK_FALSE(decode_of("quantization: {kv_cache: {transformed: false}}\n").contains("high_tokens"));
  CHECK(decode_of("quantization: {kv_cache: {bits: 16}}\n").dump() == R"({"prefill":1024,"continuation":"quantized"})");
  CHECK(decode_of("quantization: {kv_cache: {bits: 16}, activations: {bits: 16}}\n").dump() == R"({"prefill":1024})");
}

TEST_CASE("decode.high_tokens is a number or a share", "[decode]") {
  CHECK(decode_of("decode: {high_tokens: 3}\n").at("high_tokens") == 3);
  CHECK(decode_of("decode: {high_tokens: s/16}\n").at("high_tokens") == "s/16");
  CHECK(fault("decode: {high_tokens: s/0}\n").find("a share of the sequence") != std::string::npos);
  CHECK(fault("decode: {high_tokens: -1}\n").find("decode.high_tokens") != std::string::npos);
  CHECK(fault("decode: {chunk: 0}\n").find("decode.chunk") != std::string::npos);
  CHECK(fault("decode: {continuation: fully}\n").find("did you mean \"full\"") != std::string::npos);
}

TEST_CASE("decode survives the way through a plan", "[decode]") {
  const TrialSpec spec = apply(
      read(std::string(decoding) + "decode: {prefill: 7, chunk: 32, high_tokens: s/8, continuation: full}\n"), {});
  const TrialSpec back = trial_from_json(canonical(spec, schema()), schema());
  CHECK(back.decode.prefill == 7);
  CHECK(back.decode.chunk == 32);
  CHECK(back.decode.high_tokens == "s/8");
  CHECK(back.decode.continuation == "full");
}
