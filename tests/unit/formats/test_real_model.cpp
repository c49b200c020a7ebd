#include <chrono>
#include <map>
#include <vector>

#include "base/sha256.h"
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

TEST_CASE("Gemma 3 270M: every block as the gguf package reads it, bit for bit", "[formats]") {
  const auto path = stamp::test::gemma();
  if (path.empty()) {
    WARN("skipped: Gemma 3 270M is absent (scripts/setup.sh installs it; $STAMP_GEMMA names it)");
    return;
  }
  const auto model = open_checkpoint(path.string());
  CHECK(model->architecture() == "gemma3");
  CHECK(model->tensors().size() == 236);
  // SHA-256 over the float32 values of all tensors of a type, in the file's order; gguf-py 0.19, gguf.dequantize.
  const std::map<std::string, std::pair<int, std::string>> golden = {
      {"F32", {109, "be0596e364b653e983766b856bace83554b9021e1a702568fc9c1a6e06102e59"}},
      {"Q5_0", {81, "e0b6c21c5e8f3f532a35a1e42775fafe59b3ee3fd8a67e6e7ed89c700d35723a"}},
      {"Q4_K", {27, "4b24b8f4d9ee77823293fcb48c3711f1df3e39e4e6875ac22ecfbae80b599b86"}},
      {"Q6_K", {9, "2fe1f9d8afaabdb29cae3fa3ef5dbeb4d73260f28ecc91b48fee24c971b47fba"}},
      // Without the embedding, of which the first thousand rows are the last entry.
      {"Q8_0", {9, "3110c9fd82ae17c1cfc7243f169663852842a4e28a4e3846a094b58099b72642"}},
      {"embedding", {1, "62f9bdd16bb808960841595077e0dcd5da0ec763aff191e4f54f06a8c30a134c"}}};
  std::map<std::string, Sha256> digests;
  std::map<std::string, int> counts;
  std::vector<float> values;
  for (const TensorInfo& tensor : model->tensors()) {
    const bool embedding = tensor.name == "token_embd.weight";
    const std::int64_t rows = embedding ? 1000 : tensor.rows();
    const std::string type = embedding ? "embedding" : name_of(tensor.type);
    values.resize(static_cast<std::size_t>(rows * tensor.columns()));
    read_rows(tensor, 0, rows, values.data());
    digests[type].update(values.data(), values.size() * sizeof(float));
    ++counts[type];
  }
  REQUIRE(counts.size() == golden.size());
  for (const auto& [type, expected] : golden) {
    INFO(type);
    CHECK(counts[type] == expected.first);
    CHECK(digests[type].hex() == expected.second);
  }
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
