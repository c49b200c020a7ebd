// config.json in both spellings, GGUF metadata, and what is refused. Specification models 1.6, 3.1, 18.1.
#include <numeric>

#include "models/info/architecture.h"
#include "support/catch.h"
#include "unit/models/fake_checkpoint.h"

using namespace stamp;
using test::data_error;
using test::FakeCheckpoint;

namespace {

DecoderConfig read(const Json& config, const std::string& architecture = "llama") {
  const FakeCheckpoint checkpoint(config, architecture);
  return read_decoder_config(checkpoint, decoder_family(checkpoint));
}
std::string refusal(const Json& config, const std::string& architecture = "llama") {
  return data_error([&] { read(config, architecture); });
}
Json with(Json config, const std::string& key, const Json& value) {
  config[key] = value;
  return config;
}
Json without(Json config, const std::string& key) {
  config.erase(key);
  return config;
}
bool mentions(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

const Json llama3_fields = {
    {"factor", 32.0}, {"low_freq_factor", 1.0}, {"high_freq_factor", 4.0}, {"original_max_position_embeddings", 8192}};

}  // namespace

TEST_CASE("missing fields take the defaults of their family") {
  const DecoderConfig llama = read(Json::object(), "llama");
  CHECK(llama.vocabulary == 32000);
  CHECK(llama.feed_forward == 11008);
  CHECK(llama.kv_heads == 32);
  CHECK(llama.head_dim == 128);
  CHECK(llama.norm_eps == 1e-6);
  CHECK(llama.rope.theta == 10000);
  CHECK_FALSE(llama.tied_head);
  CHECK_FALSE(llama.qkv_bias);
  const DecoderConfig qwen = read(Json::object(), "qwen2");
  CHECK(qwen.vocabulary == 151936);
  CHECK(qwen.feed_forward == 22016);
  CHECK(qwen.qkv_bias);
  CHECK_FALSE(qwen.output_bias);
  CHECK(std::accumulate(qwen.windows.begin(), qwen.windows.end(), std::int64_t{0}) == 0);
}

TEST_CASE("both spellings of the RoPE settings say the same") {
  Json old_spelling = with(test::small_llama_config(), "rope_theta", 500000.0);
  old_spelling["rope_scaling"] = llama3_fields;
  old_spelling["rope_scaling"]["rope_type"] = "llama3";
  Json older = old_spelling;
  older["rope_scaling"].erase("rope_type");
  older["rope_scaling"]["type"] = "llama3";
  Json new_spelling = without(test::small_llama_config(), "rope_theta");
  new_spelling["rope_parameters"] = llama3_fields;
  new_spelling["rope_parameters"]["rope_type"] = "llama3";
  new_spelling["rope_parameters"]["rope_theta"] = 500000;
  const auto frequencies = [](const Json& config) { return rope_frequencies(4, read(config).rope); };
  const std::vector<float> expected = frequencies(old_spelling);
  CHECK(frequencies(older) == expected);
  CHECK(frequencies(new_spelling) == expected);
  CHECK(frequencies(test::small_llama_config()) != expected);
}

TEST_CASE("an unread RoPE field is an error") {
  const Json plain = test::small_llama_config();
  CHECK(mentions(refusal(with(plain, "rope_local_base_freq", 10000)), "rope_local_base_freq"));
  CHECK(mentions(refusal(with(plain, "rope_scaling", {{"rope_type", "linear"}, {"factor", 2.0}, {"beta_fast", 32}})),
                 "beta_fast"));
  CHECK(mentions(refusal(with(plain, "rope_scaling", {{"rope_type", "yarn"}, {"factor", 2.0}})),
                 "\"yarn\" is not supported; allowed: default, linear, llama3"));
  CHECK(mentions(refusal(with(plain, "rope_scaling", {{"type", "dynamic"}, {"factor", 2.0}})), "dynamic"));
  CHECK(mentions(refusal(with(plain, "rope_scaling", {{"rope_type", "linear"}})), "rope_scaling.factor: missing"));
  CHECK(
      mentions(refusal(with(plain, "rope_parameters", {{"rope_theta", 20000}})), "the value of the older key (10000)"));
  CHECK(mentions(refusal(with(plain, "partial_rotary_factor", 0.5)), "partial_rotary_factor"));
  CHECK(mentions(refusal(with(plain, "rope_interleaved", true)), "rope_interleaved"));
  CHECK(refusal(with(plain, "rope_interleaved", false)).empty());
  CHECK(refusal(with(plain, "rope_scaling", nullptr)).empty());
}

TEST_CASE("values of the wrong type or size are refused with place and range") {
  const Json plain = test::small_llama_config();
  CHECK(mentions(refusal(with(plain, "hidden_size", "8")), "model: config: hidden_size: \"8\"; allowed: an integer"));
  CHECK(mentions(refusal(with(plain, "hidden_size", 8.5)), "hidden_size: 8.5"));
  CHECK(refusal(with(plain, "hidden_size", 8.0)).empty());
  CHECK(mentions(refusal(with(plain, "num_hidden_layers", -1)), "num_hidden_layers: -1"));
  CHECK(mentions(refusal(with(plain, "num_hidden_layers", 1e300)), "num_hidden_layers"));
  CHECK(mentions(refusal(with(plain, "num_key_value_heads", 3)), "no multiple of key-value heads (3)"));
  CHECK(mentions(refusal(with(plain, "head_dim", 5)), "head dimension 5"));
  CHECK(mentions(refusal(with(plain, "rms_norm_eps", 0)), "rms_norm_eps"));
  CHECK(mentions(refusal(with(plain, "hidden_act", "gelu")),
                 "\"gelu\" is not supported; allowed: silu, gelu_pytorch_tanh"));
  CHECK(mentions(refusal(with(plain, "tie_word_embeddings", 1)), "tie_word_embeddings: 1; allowed: true or false"));
}

TEST_CASE("sliding windows of qwen2 follow the family's rule unless layer_types says more") {
  const Json base = {{"num_hidden_layers", 4}, {"sliding_window", 3}, {"max_window_layers", 2}};
  using Windows = std::vector<std::int64_t>;
  CHECK(read(base, "qwen2").windows == Windows{0, 0, 0, 0});
  const Json used = with(base, "use_sliding_window", true);
  CHECK(read(used, "qwen2").windows == Windows{0, 0, 3, 3});
  CHECK(read(with(used, "sliding_window", nullptr), "qwen2").windows == Windows{0, 0, 0, 0});
  const Json types =
      with(used, "layer_types", {"sliding_attention", "full_attention", "full_attention", "sliding_attention"});
  CHECK(read(types, "qwen2").windows == Windows{3, 0, 0, 3});
  CHECK(
      mentions(refusal(with(used, "layer_types", {"full_attention"}), "qwen2"), "1 entries; allowed: one a layer (4)"));
  CHECK(mentions(refusal(with(types, "use_sliding_window", false), "qwen2"), "no window is in use"));
  CHECK(mentions(refusal(with(used, "layer_types", {"full_attention", "a", "b", "c"}), "qwen2"),
                 "\"a\" is not supported"));
}

TEST_CASE("an unknown architecture is named together with those that are supported") {
  CHECK(mentions(refusal(Json::object(), "lama"),
                 "architecture \"lama\" is not supported (did you mean \"llama\"?); supported: llama, mistral, qwen2, "
                 "qwen3, gemma2, gemma3"));
  CHECK(mentions(refusal(Json::object(), ""), "does not name its architecture"));
}

TEST_CASE("GGUF metadata is read with its own names") {
  const Json metadata = {{"general.architecture", "llama"},
                         {"llama.embedding_length", 576},
                         {"llama.feed_forward_length", 1536},
                         {"llama.block_count", 30},
                         {"llama.attention.head_count", 9},
                         {"llama.attention.head_count_kv", 3},
                         {"llama.attention.layer_norm_rms_epsilon", 1e-5},
                         {"llama.rope.freq_base", 100000.0},
                         {"llama.rope.dimension_count", 64}};
  const auto read_gguf = [](const Json& m) {
    FakeCheckpoint checkpoint(m, "llama", true);
    checkpoint.add("token_embd.weight", {49152, 576});
    return read_decoder_config(checkpoint, decoder_family(checkpoint));
  };
  const DecoderConfig c = read_gguf(metadata);
  CHECK(c.head_dim == 64);
  CHECK(c.vocabulary == 49152);
  CHECK(c.tied_head);
  CHECK(c.paired_rows);
  CHECK(c.rope.theta == 100000);
  const auto refused = [&](const std::string& key, const Json& value) {
    return data_error([&] { read_gguf(with(metadata, key, value)); });
  };
  CHECK(mentions(refused("llama.rope.dimension_count", 32), "partial rotation is not supported"));
  CHECK(mentions(refused("llama.rope.scaling.type", "yarn"), "\"yarn\" is not supported"));
  CHECK(mentions(refused("llama.rope.scaling.attn_factor", 2.0), "llama.rope.scaling.attn_factor"));
  CHECK(mentions(refused("llama.attention.value_length", 32), "the key length (64)"));
  CHECK(mentions(refused("llama.expert_count", 8), "mixture of experts"));
  CHECK(mentions(data_error([&] { read_gguf(without(metadata, "llama.block_count")); }), "llama.block_count: missing"));
}

TEST_CASE("llama3 scaling has the published frequencies") {
  const auto frequencies = [](std::int64_t head_dim, double factor) {
    return rope_frequencies(head_dim, {500000, {RopeScaling::Kind::llama3, factor, 1, 4, 8192}});
  };
  // Specification models 18.1, seven digits.
  const std::vector<float> small = frequencies(64, 32), medium = frequencies(128, 32), large = frequencies(128, 8);
  const auto expect = [](const std::vector<float>& f, std::size_t i, double value) {
    INFO(i);
    CHECK(f[i] == Approx(value).epsilon(5e-7));
  };
  expect(small, 14, 3.211446e-03);
  expect(small, 15, 1.290548e-03);
  expect(small, 16, 4.295568e-04);
  expect(small, 17, 9.708288e-05);
  expect(small, 18, 1.946164e-05);
  expect(small, 31, 9.418307e-08);
  expect(medium, 28, 3.211446e-03);
  expect(medium, 29, 2.118407e-03);
  expect(medium, 35, 2.389053e-05);
  expect(medium, 36, 1.946164e-05);
  expect(medium, 63, 7.672315e-08);
  expect(large, 29, 2.166571e-03);
  expect(large, 35, 9.556212e-05);
  expect(large, 36, 7.784655e-05);
}

TEST_CASE("linear scaling and stored divisors divide the frequencies") {
  CHECK(rope_frequencies(4, {100, {}}) == std::vector<float>{1.0f, 0.1f});
  CHECK(rope_frequencies(4, {100, {}}, {2.0f, 4.0f}) == std::vector<float>{0.5f, 0.025f});
  CHECK(rope_frequencies(4, {100, {RopeScaling::Kind::linear, 4}}) == std::vector<float>{0.25f, 0.025f});
}
