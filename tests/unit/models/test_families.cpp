// What each family reads from config.json and from GGUF metadata. Specification models 3.1, gemma3.md 1.
#include "models/info/architecture.h"
#include "models/info/decoder_tensors.h"
#include "support/catch.h"
#include "unit/models/fake_checkpoint.h"

using namespace stamp;
using test::data_error;
using test::FakeCheckpoint;

namespace {

using Windows = std::vector<std::int64_t>;

DecoderConfig read(const Json& config, const std::string& architecture) {
  const FakeCheckpoint checkpoint(config, architecture);
  return read_decoder_config(checkpoint, decoder_family(checkpoint));
}
std::string refusal(const Json& config, const std::string& architecture) {
  return data_error([&] { read(config, architecture); });
}
Json with(Json config, const std::string& key, const Json& value) {
  config[key] = value;
  return config;
}
bool mentions(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// `prefix`.KEY for every key of `values`, and what every file has.
Json gguf(const std::string& prefix, const Json& values) {
  Json out = {{"general.architecture", prefix}};
  Json all = {
      {"embedding_length", 48},       {"feed_forward_length", 96},    {"block_count", 12},
      {"attention.head_count", 4},    {"attention.head_count_kv", 2}, {"attention.key_length", 16},
      {"attention.value_length", 16}, {"context_length", 64},         {"attention.layer_norm_rms_epsilon", 1e-6}};
  all.update(values);
  for (const auto& [key, value] : all.items()) out[prefix + "." + key] = value;
  return out;
}
DecoderConfig read_gguf(const std::string& architecture, const Json& values, DType embedding = DType::q8_0) {
  FakeCheckpoint checkpoint(gguf(architecture, values), architecture, true);
  checkpoint.add("token_embd.weight", {100, 48});
  checkpoint.tensor("token_embd.weight").type = embedding;
  return read_decoder_config(checkpoint, decoder_family(checkpoint));
}
std::string gguf_refusal(const std::string& architecture, const Json& values) {
  return data_error([&] { read_gguf(architecture, values); });
}

}  // namespace

TEST_CASE("Qwen3: norms of q and k, its own head dimension, biases only when asked") {
  const DecoderConfig c = read(Json::object(), "qwen3");
  CHECK(c.head_dim == 128);
  CHECK(c.query_width() == 4096);
  CHECK(c.qk_norm);
  CHECK_FALSE(c.post_norms);
  CHECK_FALSE(c.norm_adds_one);
  CHECK_FALSE(c.qkv_bias);
  CHECK(c.attention_scale == Approx(1 / std::sqrt(128.0)));
  CHECK(c.embedding_multiplier == 1);
  const DecoderConfig biased = read({{"attention_bias", true}}, "qwen3");
  CHECK(biased.qkv_bias);
  CHECK(biased.output_bias);
  const Json sliding = {
      {"num_hidden_layers", 3}, {"use_sliding_window", true}, {"sliding_window", 7}, {"max_window_layers", 1}};
  CHECK(read(sliding, "qwen3").windows == Windows{0, 7, 7});
}

TEST_CASE("Mistral: a window on every layer, 4096 unless told, none for null") {
  const Json layers = {{"num_hidden_layers", 2}};
  CHECK(read(layers, "mistral").windows == Windows{4096, 4096});
  CHECK(read(with(layers, "sliding_window", 5), "mistral").windows == Windows{5, 5});
  CHECK(read(with(layers, "sliding_window", nullptr), "mistral").windows == Windows{0, 0});
  CHECK(read(layers, "mistral").kv_heads == 8);
  CHECK(read(layers, "mistral").context == 131072);
  // llama.cpp's files of Mistral say "llama"; one that says otherwise has an unknown order of rows.
  CHECK(mentions(gguf_refusal("mistral", Json::object()), "architecture \"mistral\" is not supported"));
}

TEST_CASE("Gemma 2: class defaults, caps that null switches off, even layers slide") {
  const DecoderConfig c = read({{"num_hidden_layers", 4}}, "gemma2");
  CHECK(c.vocabulary == 256000);
  CHECK(c.hidden == 2304);
  CHECK(c.head_dim == 256);
  CHECK(c.activation == Activation::gelu_tanh);
  CHECK(c.windows == Windows{4096, 0, 4096, 0});
  CHECK(c.post_norms);
  CHECK(c.norm_adds_one);
  CHECK(c.tied_head);
  CHECK_FALSE(c.qk_norm);
  CHECK_FALSE(c.sliding_rope.has_value());
  CHECK(c.attention_softcap == 50);
  CHECK(c.final_softcap == 30);
  CHECK(c.attention_scale == Approx(1 / 16.0));
  CHECK(c.embedding_multiplier == 48);
  const DecoderConfig plain = read({{"attn_logit_softcapping", nullptr},
                                    {"final_logit_softcapping", nullptr},
                                    {"query_pre_attn_scalar", 144},
                                    {"hidden_act", "gelu"}},  // in old files beside hidden_activation; not what counts
                                   "gemma2");
  CHECK(plain.attention_softcap == 0);
  CHECK(plain.final_softcap == 0);
  CHECK(plain.attention_scale == Approx(1 / 12.0));
  CHECK(read({{"num_hidden_layers", 2}, {"layer_types", {"full_attention", "sliding_attention"}}}, "gemma2").windows ==
        Windows{0, 4096});
  CHECK(mentions(refusal({{"hidden_activation", "gelu"}}, "gemma2"), "hidden_activation: \"gelu\" is not supported"));
  CHECK(mentions(refusal({{"sliding_window", "wide"}}, "gemma2"), "sliding_window"));
  CHECK(mentions(refusal({{"use_bidirectional_attention", true}}, "gemma2"), "only causal models"));
  CHECK(mentions(refusal({{"rope_local_base_freq", 10000}}, "gemma2"), "rope_local_base_freq"));
}

TEST_CASE("Gemma 3: five sliding layers to a full one, each kind with its RoPE") {
  const DecoderConfig c = read({{"num_hidden_layers", 7}, {"sliding_window", 512}}, "gemma3_text");
  CHECK(c.architecture == "gemma3");
  CHECK(c.vocabulary == 262208);
  CHECK(c.windows == Windows{512, 512, 512, 512, 512, 0, 512});
  CHECK(c.qk_norm);
  CHECK(c.attention_softcap == 0);
  CHECK(c.final_softcap == 0);
  CHECK(c.rope_of(4).theta == 10000);
  CHECK(c.rope_of(5).theta == 1e6);
  const DecoderConfig three = read({{"num_hidden_layers", 4}, {"sliding_window_pattern", 3}}, "gemma3_text");
  CHECK(three.windows == Windows{4096, 4096, 0, 4096});
  CHECK(read({{"num_hidden_layers", 4}, {"_sliding_window_pattern", 3}}, "gemma3_text").windows == three.windows);
  CHECK(read({{"num_hidden_layers", 2},
              {"sliding_window_pattern", 2},
              {"layer_types", {"full_attention", "sliding_attention"}}},
             "gemma3_text")
            .windows == Windows{0, 4096});
  CHECK(read({{"final_logit_softcapping", 20}}, "gemma3_text").final_softcap == 20);
  CHECK(mentions(refusal({{"attn_logit_softcapping", 50}}, "gemma3_text"), "attn_logit_softcapping"));
}

TEST_CASE("Gemma 3's RoPE settings in both spellings; scaling is the full layers' alone") {
  const Json old_spelling = {{"rope_theta", 500000},
                             {"rope_local_base_freq", 20000},
                             {"rope_scaling", {{"rope_type", "linear"}, {"factor", 8.0}}}};
  const Json new_spelling = {{"rope_parameters",
                              {{"full_attention", {{"rope_type", "linear"}, {"factor", 8.0}, {"rope_theta", 500000}}},
                               {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", 20000}}}}}};
  for (const Json& spelling : {old_spelling, new_spelling}) {
    const DecoderConfig c = read(spelling, "gemma3_text");
    CHECK(c.rope.theta == 500000);
    CHECK(c.rope.scaling.kind == RopeScaling::Kind::linear);
    CHECK(c.rope.scaling.factor == 8);
    REQUIRE(c.sliding_rope.has_value());
    CHECK(c.sliding_rope->theta == 20000);
    CHECK(c.sliding_rope->scaling.kind == RopeScaling::Kind::none);
  }
  const auto refused = [&](const char* path, const Json& value) {
    Json changed = new_spelling;
    changed["rope_parameters"][Json::json_pointer(path)] = value;
    return refusal(changed, "gemma3_text");
  };
  CHECK(mentions(refused("/full_attention/beta_fast", 32), "rope_parameters.full_attention.beta_fast"));
  CHECK(mentions(refused("/sliding_attention/rope_type", "yarn"), "\"yarn\" is not supported"));
  CHECK(mentions(refused("/rope_theta", 10000), "rope_parameters.rope_theta"));
  Json both = old_spelling;
  both.update(new_spelling);
  CHECK(refusal(both, "gemma3_text").empty());
  both["rope_local_base_freq"] = 30000;
  CHECK(mentions(refusal(both, "gemma3_text"), "the value of the older key (30000)"));
}

TEST_CASE("Gemma 3 with images: settings in text_config, tensors behind another prefix") {
  const Json config = {{"model_type", "gemma3"},
                       {"vision_config", {{"hidden_size", 1152}}},
                       {"text_config",
                        {{"model_type", "gemma3_text"},
                         {"hidden_size", 8},
                         {"intermediate_size", 12},
                         {"num_hidden_layers", 1},
                         {"num_attention_heads", 2},
                         {"num_key_value_heads", 1},
                         {"head_dim", 4},
                         {"vocab_size", 10},
                         {"rope_scaling", {{"rope_type", "linear"}, {"factor", 8.0}}},
                         {"sliding_window", 1024}}}};
  for (const std::string prefix : {"language_model.model.", "model.language_model."}) {
    FakeCheckpoint checkpoint(config, "gemma3");
    checkpoint.add(prefix + "embed_tokens.weight", {10, 8});
    checkpoint.tensor(prefix + "embed_tokens.weight").type = DType::bf16;
    const std::string p = prefix + "layers.0.";
    for (const char* norm :
         {"input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm"})
      checkpoint.add(p + norm + ".weight", {8});
    for (const char* norm : {"self_attn.q_norm", "self_attn.k_norm"}) checkpoint.add(p + norm + ".weight", {4});
    checkpoint.add(p + "self_attn.q_proj.weight", {8, 8});
    checkpoint.add(p + "self_attn.k_proj.weight", {4, 8});
    checkpoint.add(p + "self_attn.v_proj.weight", {4, 8});
    checkpoint.add(p + "self_attn.o_proj.weight", {8, 8});
    checkpoint.add(p + "mlp.gate_proj.weight", {12, 8});
    checkpoint.add(p + "mlp.up_proj.weight", {12, 8});
    checkpoint.add(p + "mlp.down_proj.weight", {8, 12});
    checkpoint.add(prefix + "norm.weight", {8});
    checkpoint.add("vision_tower.vision_model.post_layernorm.weight", {8});
    const DecoderConfig c = read_decoder_config(checkpoint, decoder_family(checkpoint));
    CHECK(c.hidden == 8);
    CHECK(c.rope.scaling.factor == 8);
    CHECK(c.tied_head);
    CHECK(c.embedding_multiplier == 2.828125);  // sqrt(8) in bf16
    const DecoderTensors tensors = find_decoder_tensors(checkpoint, c);
    CHECK(tensors.layers[0].post_attention_norm->name == p + "post_attention_layernorm.weight");
    CHECK(tensors.layers[0].feed_forward_norm->name == p + "pre_feedforward_layernorm.weight");
    CHECK(tensors.ignored == std::vector<std::string>{"vision_tower.vision_model.post_layernorm.weight"});
    checkpoint.remove(p + "self_attn.k_norm.weight");
    checkpoint.tensor(p + "self_attn.q_norm.weight").shape = {8};
    const std::string text = data_error([&] { describe_model(checkpoint); });
    CHECK(mentions(text, "missing tensor " + p + "self_attn.k_norm.weight [4]"));
    CHECK(mentions(text, "q_norm.weight has shape [8], expected [4]"));
  }
  CHECK(mentions(refusal({{"text_config", 3}}, "gemma3"), "text_config: 3; allowed: an object"));
}

TEST_CASE("the embedding multiplier is rounded to the stored type of the embedding") {
  CHECK(read_gguf("gemma2", {{"embedding_length", 640}}, DType::q8_0).embedding_multiplier ==
        static_cast<double>(std::sqrt(640.0f)));
  CHECK(read_gguf("gemma2", {{"embedding_length", 640}}, DType::bf16).embedding_multiplier == 25.25);
  CHECK(read_gguf("gemma2", {{"embedding_length", 640}}, DType::f16).embedding_multiplier == 25.296875);
}

TEST_CASE("GGUF keys of Gemma 3, absent ones by llama.cpp's defaults") {
  const Json plain = {{"attention.sliding_window", 512}, {"rope.freq_base", 1000000.0}};
  const DecoderConfig c = read_gguf("gemma3", plain);
  CHECK(c.windows == Windows{512, 512, 512, 512, 512, 0, 512, 512, 512, 512, 512, 0});
  CHECK(c.rope.theta == 1e6);
  CHECK(c.sliding_rope->theta == 10000);
  CHECK(c.attention_scale == 0.25);
  CHECK(c.qk_norm);
  CHECK(c.post_norms);
  CHECK_FALSE(c.norm_adds_one);  // the writer added it
  CHECK_FALSE(c.paired_rows);
  CHECK(c.activation == Activation::gelu_tanh);
  CHECK(c.final_softcap == 0);

  Json more = plain;
  more["rope.freq_base_swa"] = 5000.0;
  more["rope.scaling.type"] = "linear";
  more["rope.scaling.factor"] = 8.0;
  more["attention.sliding_window_pattern"] = 4;
  const DecoderConfig other = read_gguf("gemma3", more);
  CHECK(other.windows == Windows{512, 512, 512, 0, 512, 512, 512, 0, 512, 512, 512, 0});
  CHECK(other.sliding_rope->theta == 5000);
  CHECK(other.rope.scaling.factor == 8);
  CHECK(other.sliding_rope->scaling.kind == RopeScaling::Kind::none);

  Json listed = plain;
  listed["attention.sliding_window_pattern"] = {true,  false, true, true, true, true,
                                                false, true,  true, true, true, true};
  CHECK(read_gguf("gemma3", listed).windows == Windows{512, 0, 512, 512, 512, 512, 0, 512, 512, 512, 512, 512});
  listed["attention.sliding_window_pattern"] = {true, false};
  CHECK(mentions(gguf_refusal("gemma3", listed), "2 entries; allowed: a period, or one entry a layer (12)"));

  CHECK(mentions(gguf_refusal("gemma3", Json::object()), "gemma3.attention.sliding_window: missing"));
  Json unread = plain;
  unread["rope.freq_base_global"] = 1.0;
  CHECK(mentions(gguf_refusal("gemma3", unread), "gemma3.rope.freq_base_global"));

  // The largest model of the generation scales by its width.
  Json largest = plain;
  largest["block_count"] = 62;
  largest["embedding_length"] = 5376;
  largest["attention.head_count"] = 32;
  largest["attention.key_length"] = largest["attention.value_length"] = 128;
  CHECK(read_gguf("gemma3", largest).attention_scale == Approx(1 / std::sqrt(168.0)));
}

TEST_CASE("GGUF keys of Gemma 2 and Qwen3") {
  const DecoderConfig c = read_gguf("gemma2", {{"block_count", 3}});
  CHECK(c.windows == Windows{4096, 0, 4096});
  CHECK(c.attention_softcap == 50);
  CHECK(c.final_softcap == 30);
  const DecoderConfig other = read_gguf("gemma2", {{"block_count", 2},
                                                   {"attention.sliding_window", 8},
                                                   {"attn_logit_softcapping", 5.0},
                                                   {"final_logit_softcapping", 7.0}});
  CHECK(other.windows == Windows{8, 0});
  CHECK(other.attention_softcap == 5);
  CHECK(other.final_softcap == 7);
  const DecoderConfig qwen = read_gguf("qwen3", {{"rope.freq_base", 1e6}});
  CHECK(qwen.qk_norm);
  CHECK(qwen.activation == Activation::silu);
  CHECK_FALSE(qwen.paired_rows);
  CHECK(mentions(gguf_refusal("qwen3", {{"attention.sliding_window", 8}}), "without a sliding window"));
}

TEST_CASE("describe shows what a family adds") {
  const Json json = describe_model(test::small_llama());
  CHECK(json.at("activation") == "silu");
  CHECK(json.at("attention_scale") == 0.5);
  CHECK_FALSE(json.contains("attention_softcap"));
  CHECK_FALSE(json.contains("sliding_rope"));
}
