// What inspect shows, and the check of tensors against the configuration.
#include "models/info/architecture.h"
#include "models/info/decoder_tensors.h"
#include "support/catch.h"
#include "unit/models/fake_checkpoint.h"
#include "unit/models/fixtures.h"

using namespace stamp;
using test::data_error;

namespace {
bool mentions(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}
}  // namespace

TEST_CASE("a complete checkpoint is described with parameters and slots") {
  const test::FakeCheckpoint checkpoint = test::small_llama();
  const Json json = describe_model(checkpoint);
  CHECK(json.at("parameters") == 10 * 8 + 2 * (8 + 16 * 8 + 8 * 8 + 8 * 8 + 8 * 16 + 8 + 3 * 12 * 8) + 8);
  CHECK(json.at("tensor_types") == Json({{"F32", 20}}));
  const Json& slots = json.at("slots");
  REQUIRE(slots.size() == 12);
  CHECK(slots[0].at("name") == "layers.0.attention.qkv_proj.input");
  CHECK(slots[0].at("features") == 8);
  CHECK(slots[0].at("linears").size() == 3);
  CHECK(slots[1].at("name") == "layers.0.attention.key_cache");
  CHECK(slots[1].at("kind") == "key cache");
  CHECK(slots[1].at("heads") == 2);
  CHECK(slots[3].at("features") == 16);
  CHECK(slots[11].at("name") == "layers.1.mlp.down_proj.input");
  CHECK(slots[11].at("features") == 12);
}

TEST_CASE("tensors that are missing, unexpected or of another shape are named together") {
  test::FakeCheckpoint checkpoint = test::small_llama();
  checkpoint.remove("model.layers.1.mlp.up_proj.weight");
  checkpoint.tensor("model.layers.0.self_attn.k_proj.weight").shape = {16, 8};
  checkpoint.add("model.layers.0.self_attn.q_norm.weight", {4});
  checkpoint.add("score.weight", {2, 8});
  checkpoint.tensor("model.layers.1.mlp.down_proj.weight").type = DType::i32;
  const std::string text = data_error([&] { describe_model(checkpoint); });
  CHECK(mentions(text, "model.layers.1.mlp.down_proj.weight holds I32 values, where numbers with a fraction"));
  CHECK(mentions(text, "missing tensor model.layers.1.mlp.up_proj.weight [12, 8]"));
  CHECK(mentions(text, "model.layers.0.self_attn.k_proj.weight has shape [16, 8], expected [8, 8]"));
  CHECK(mentions(text, "unexpected tensor model.layers.0.self_attn.q_norm.weight [4]"));
  CHECK_FALSE(mentions(text, "score.weight"));
}

TEST_CASE("tensors that carry nothing are listed and ignored") {
  test::FakeCheckpoint checkpoint = test::small_llama();
  checkpoint.add("model.layers.0.self_attn.rotary_emb.inv_freq", {2});
  checkpoint.add("score.weight", {2, 8});
  CHECK(describe_model(checkpoint).at("ignored_tensors") ==
        Json({"model.layers.0.self_attn.rotary_emb.inv_freq", "score.weight"}));
}

TEST_CASE("an untied head is demanded and a stored copy of a tied one is left alone") {
  test::FakeCheckpoint checkpoint = test::small_llama();
  checkpoint.add("lm_head.weight", {10, 8});
  CHECK(find_decoder_tensors(checkpoint, read_decoder_config(checkpoint, decoder_family(checkpoint))).head == nullptr);
  checkpoint.edit()["tie_word_embeddings"] = false;
  const std::int64_t untied = describe_model(checkpoint).at("parameters");
  CHECK(untied == describe_model(test::small_llama()).at("parameters").get<std::int64_t>() + 80);
  checkpoint.remove("lm_head.weight");
  CHECK(mentions(data_error([&] { describe_model(checkpoint); }), "missing tensor lm_head.weight"));
}

TEST_CASE("a layer count beyond the tensors of the file is refused before it sizes anything") {
  test::FakeCheckpoint checkpoint = test::small_llama();
  checkpoint.edit()["num_hidden_layers"] = 99999;
  CHECK(mentions(data_error([&] { describe_model(checkpoint); }), "99999 layers are configured"));
}

TEST_CASE("real files have the published parameter counts") {
  const std::string path = test::smollm2_path();
  if (path.empty()) {
    WARN("skipped: SmolLM2 is not installed (scripts/setup.sh does it)");
    return;
  }
  const auto checkpoint = open_checkpoint(path);
  const Json json = describe_model(*checkpoint);
  CHECK(json.at("parameters") == 134515008);  // specification models 3.5
  CHECK(json.at("tensors") == 272);
  CHECK(json.at("tensor_types").at("Q4_1").get<int>() > 100);
  CHECK(json.at("slots").size() == 180);
  CHECK(json.at("tied_head") == true);
}

TEST_CASE("fixtures are described; other kinds of models are refused by name") {
  const std::pair<const char*, int> widths[] = {
      {"llama_tiny_llama3rope", 48}, {"llama_tiny_untied_bias", 48}, {"qwen2_tiny", 48},
      {"qwen2_tiny_window", 48},     {"mistral_tiny_window5", 48},   {"qwen3_tiny", 40},
      {"gemma2_tiny", 36},
  };
  for (const auto& [name, hidden] : widths) {
    const auto checkpoint = test::open_fixture(name);
    if (!checkpoint) return;
    INFO(name);
    CHECK(describe_model(*checkpoint).at("dimensions").at("hidden") == hidden);
  }
  const auto checkpoint = test::open_fixture("t5_tiny");
  if (!checkpoint) return;
  CHECK(mentions(data_error([&] { describe_model(*checkpoint); }), "supported: llama, mistral, qwen2"));
}
