#include <chrono>
#include <vector>

#include "formats/checkpoint.h"
#include "support/catch.h"
#include "support/paths.h"

using namespace stamp;

TEST_CASE("SmolLM2: tensors, metadata and the golden embedding row", "[formats]") {
  const auto path = stamp::test::smollm2();
  if (path.empty()) {
    WARN("skipped: SmolLM2 is absent (scripts/setup.sh installs it; $STAMP_SMOLLM2 names it)");
    return;
  }
  const auto model = open_checkpoint(path.string());
  CHECK(model->format() == "GGUF v3");
  CHECK(model->architecture() == "llama");
  CHECK(model->tensors().size() == 272);
  CHECK(model->config().at("llama.embedding_length") == 576);
  CHECK(model->config().at("llama.block_count") == 30);
  CHECK_FALSE(model->config().contains("tokenizer.ggml.tokens"));

  const TensorInfo& embedding = model->at("token_embd.weight");
  CHECK(embedding.shape == std::vector<std::int64_t>{49152, 576});
  CHECK(embedding.type == DType::q8_0);
  std::vector<float> row(576);
  read_rows(embedding, 1116, 1, row.data());  // the first id of WikiText-2 test
  const double golden[] = {-0.051498, 0.020027, 0.042915, 0.131607};
  for (int i = 0; i < 4; ++i) CHECK(row[static_cast<std::size_t>(i)] == Approx(golden[i]).margin(5e-7));

  const auto source = tokenizer_source(*model);
  CHECK(source.present);
  CHECK(source.model == "gpt2");
  CHECK(source.pre == "smollm");
  CHECK(source.tokens.size() == 49152);
  CHECK(source.merges.size() == 48900);
}

// A figure, not a check: [.] keeps it out of the ordinary run.
TEST_CASE("seconds to dequantize all of SmolLM2", "[.speed]") {
  const auto path = stamp::test::smollm2();
  REQUIRE_FALSE(path.empty());
  const auto model = open_checkpoint(path.string());
  for (int repeat = 0; repeat < 3; ++repeat) {
    const auto begin = std::chrono::steady_clock::now();
    std::int64_t elements = 0;
    for (const TensorInfo& tensor : model->tensors()) {
      std::vector<float> out(static_cast<std::size_t>(tensor.elements()));
      read_rows(tensor, 0, tensor.rows(), out.data());
      elements += tensor.elements();
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    WARN(elements << " elements in " << seconds.count() << " s");
  }
}
