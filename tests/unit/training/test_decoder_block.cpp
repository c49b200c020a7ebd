// The differentiable block computes what the network's own block computes, in every family.
// Before LibTorch's operators: its at::linear would hide ours in the headers of the network.
#include "unit/methods/decoders.h"

#include "training/decoder_block.h"

#include "base/error.h"

using namespace stamp;

namespace {

// Both sum in float32 in their own order: the specification's figure for a block (models 17.4) is 1e-5 of the largest
// value; tanh and exp of the network are polynomials besides.
constexpr double close_enough = 2e-5;

}  // namespace

TEST_CASE("every block of the tiny decoders, rows of the full-precision network") {
  for (const std::string name : {"llama_tiny_llama3rope", "llama_tiny_untied_bias", "qwen2_tiny", "qwen2_tiny_window",
                                 "qwen3_tiny", "mistral_tiny_window5", "gemma2_tiny"}) {
    const auto checkpoint = test::open_fixture(name);
    if (!checkpoint) return;
    DecoderNetwork network(std::make_shared<DecoderSource>(checkpoint));
    WorkItem item;
    item.inputs["ids"] = test::tensor_of(test::first_sample(*checkpoint));
    at::Tensor rows = network.enter(item);
    for (std::size_t b = 0; b < network.blocks(); ++b) {
      const training::DecoderBlock block = training::read_block(network, b, "test");
      const at::Tensor got = training::block_forward(rows.unsqueeze(0), block.weights, block.shape,
                                                     training::rope_angles(0, rows.size(0), block.frequencies))
                                 .squeeze(0)
                                 .contiguous();
      network.forward(b, rows, item);
      INFO(name << ", block " << b);
      CHECK(test::distance(got, rows) <= close_enough * test::largest(rows));
    }
  }
}

TEST_CASE("positions are those of the sequence, and sequences do not see one another") {
  const auto checkpoint = test::open_fixture("llama_tiny_untied_bias");
  if (!checkpoint) return;
  DecoderNetwork network(std::make_shared<DecoderSource>(checkpoint));
  WorkItem item;
  item.inputs["ids"] = test::tensor_of(test::first_sample(*checkpoint));
  const at::Tensor rows = network.enter(item);
  const training::DecoderBlock block = training::read_block(network, 0, "test");
  const auto run = [&](const at::Tensor& x) {
    return training::block_forward(x, block.weights, block.shape,
                                   training::rope_angles(0, x.size(1), block.frequencies))
        .contiguous();
  };
  const std::int64_t half = rows.size(0) / 2;
  const at::Tensor first = rows.narrow(0, 0, half).unsqueeze(0), second = rows.narrow(0, half, half).unsqueeze(0);
  const at::Tensor both = run(rows.narrow(0, 0, 2 * half).reshape({2, half, rows.size(1)}));
  CHECK(test::distance(both.select(0, 0).contiguous(), run(first)) <= close_enough * test::largest(both));
  CHECK(test::distance(both.select(0, 1).contiguous(), run(second)) <= close_enough * test::largest(both));
}

TEST_CASE("a packed network cannot be trained") {
  const auto checkpoint = test::open_fixture("qwen2_tiny");
  if (!checkpoint) return;
  DecoderNetwork network(std::make_shared<DecoderSource>(checkpoint));
  network.pack();
  CHECK_THROWS_AS(training::read_block(network, 0, "test"), std::logic_error);
}
