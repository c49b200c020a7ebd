// A rotated model is the original in exact arithmetic. Specification methods 6.
#include "methods/quarot.h"

#include "unit/methods/decoders.h"

using namespace stamp;

namespace {

struct Options {
  std::string rotation = "hadamard";
  bool key_cache = true;
  std::int64_t seed = 0;
};

std::vector<std::string> rotate(DecoderNetwork& network, const Options& options) {
  std::vector<std::string> warnings;
  MethodContext context;
  context.options = {{"rotation", options.rotation}, {"seed", options.seed}};
  context.quantization.kv_cache.bits = options.key_cache ? 4 : 16;
  context.warn = [&](const std::string& text) { warnings.push_back(text); };
  test::apply(*QuaRot::make(), network, context);
  return warnings;
}

}  // namespace

TEST_CASE("a rotated decoder gives the logits of the original") {
  for (const std::string& name : test::tiny_decoders()) {
    const auto checkpoint = test::open_fixture(name);
    if (!checkpoint) return;
    const auto source = std::make_shared<DecoderSource>(checkpoint);
    const std::vector<std::int64_t> ids = test::first_sample(*checkpoint);
    DecoderNetwork original(source);
    const at::Tensor expected = test::logits_of(original, ids);
    for (const Options& options : {Options{}, Options{"random", true, 3}, Options{"hadamard", false, 1}}) {
      DecoderNetwork rotated(source);
      rotate(rotated, options);
      INFO(name << " " << options.rotation << " keys " << options.key_cache);
      CHECK((rotated.layer(0).key.head_rotation() != nullptr) == options.key_cache);
      CHECK(test::distance(test::logits_of(rotated, ids), expected) <= test::exact * test::largest(expected));
      rotated.pack();
      CHECK(test::distance(test::logits_of(rotated, ids), expected) <= test::exact * test::largest(expected));
    }
  }
}

TEST_CASE("every online part of quarot is needed") {
  const auto checkpoint = test::open_fixture("llama_tiny_untied_bias");
  if (!checkpoint) return;
  const auto source = std::make_shared<DecoderSource>(checkpoint);
  const std::vector<std::int64_t> ids = test::first_sample(*checkpoint);
  DecoderNetwork original(source);
  const at::Tensor expected = test::logits_of(original, ids);
  const double large = 1e-2 * test::largest(expected);
  {
    DecoderNetwork rotated(source);
    rotate(rotated, {});
    rotated.layer(1).down.set_online(nullptr);
    CHECK(test::distance(test::logits_of(rotated, ids), expected) > large);
  }
  {
    DecoderNetwork rotated(source);
    rotate(rotated, {});
    rotated.layer(0).output.set_online(nullptr);
    CHECK(test::distance(test::logits_of(rotated, ids), expected) > large);
  }
}

TEST_CASE("quarot changes what a quantizer sees, and says when a size has no Hadamard matrix") {
  const auto checkpoint = test::open_fixture("llama_tiny_untied_bias");
  if (!checkpoint) return;
  const auto source = std::make_shared<DecoderSource>(checkpoint);
  DecoderNetwork original(source), rotated(source), other(source), again(source);
  const std::vector<std::string> warnings = rotate(rotated, {});
  REQUIRE(warnings.size() == 1);  // six heads; 48, 80 and 8 have one
  CHECK(warnings[0].find("no Hadamard matrix of size 6") != std::string::npos);
  rotate(again, {});
  rotate(other, {"hadamard", true, 7});
  const auto weight = [](DecoderNetwork& n) { return n.layer(0).gate_up.weights()[0].weight; };
  CHECK(test::distance(weight(rotated), weight(original)) > 0.01);
  CHECK(test::distance(weight(rotated), weight(other)) > 0.01);
  CHECK(test::distance(weight(rotated), weight(again)) == 0);
  CHECK(test::distance(rotated.layer(0).attention_norm, original.layer(0).attention_norm) > 0.01);
  CHECK(test::largest(rotated.layer(0).attention_norm) == 1);
}

TEST_CASE("a rotated SmolLM2 gives the logits of the original") {
  const std::string path = test::smollm2_path();
  if (path.empty()) {
    WARN("skipped: SmolLM2 is not installed (scripts/setup.sh does it)");
    return;
  }
  const auto source = std::make_shared<DecoderSource>(open_checkpoint(path));
  std::vector<std::int64_t> ids;
  for (std::int64_t i = 0; i < 64; ++i) ids.push_back((i * 7919 + 1116) % 49152);
  at::Tensor expected;
  {
    DecoderNetwork original(source);
    expected = test::logits_of(original, ids);
  }
  DecoderNetwork rotated(source);
  CHECK(rotate(rotated, {}).size() == 1);  // nine heads
  rotated.pack();
  const double d = test::distance(test::logits_of(rotated, ids), expected);
  INFO("distance " << d << " of " << test::largest(expected));
  // The tolerance of the comparison with transformers: logits of magnitude 30 behind 30 layers with activations of 1e3.
  CHECK(d <= 2e-3);
}
