// Configurations of diffusion transformers: class defaults, traps, refusals, tensors and slots.
#include <algorithm>

#include "models/info/architecture.h"
#include "models/info/diffusion_config.h"
#include "support/catch.h"
#include "unit/models/fake_checkpoint.h"

using namespace stamp;
using test::data_error;

namespace {

constexpr const char* dit = "DiTTransformer2DModel";
constexpr const char* pixart = "PixArtTransformer2DModel";
constexpr const char* sana = "SanaTransformer2DModel";

bool mentions(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

DiffusionConfig read(const char* architecture, const Json& config) {
  return read_diffusion_config(config, architecture, "config.json: ");
}

Json sigma_1024() {
  return {{"_class_name", pixart},
          {"_diffusers_version", "0.28.0.dev0"},
          {"caption_channels", 4096},
          {"interpolation_scale", 2},
          {"use_additional_conditions", false},
          {"sample_size", 128},
          {"dropout", 0.0},
          {"norm_num_groups", 32},
          {"upcast_attention", false},
          {"norm_type", "ada_norm_single"},
          {"attention_type", "default"},
          {"num_embeds_ada_norm", 1000}};
}

Json sana_600m() {
  return {{"num_attention_heads", 36},       {"num_layers", 28},
          {"num_cross_attention_heads", 16}, {"cross_attention_head_dim", 72},
          {"cross_attention_dim", 1152},     {"sample_size", 16}};
}

std::int64_t parameters(const char* architecture, const Json& config) {
  return parameters_of(diffusion_tensors(read(architecture, config)));
}

// All tensors of a configuration, without data.
test::FakeCheckpoint complete(const char* architecture, const Json& config) {
  test::FakeCheckpoint out(config, architecture);
  for (const ExpectedTensor& tensor : diffusion_tensors(read(architecture, config))) out.add(tensor.name, tensor.shape);
  return out;
}

Json tiny_sana() {
  return {
      {"num_attention_heads", 6},      {"attention_head_dim", 4},   {"num_layers", 2}, {"num_cross_attention_heads", 3},
      {"cross_attention_head_dim", 8}, {"cross_attention_dim", 24}, {"sample_size", 8}};
}

}  // namespace

TEST_CASE("published models have their published numbers of parameters") {
  CHECK(parameters(pixart, sigma_1024()) == 610856096);
  CHECK(parameters(dit, {{"out_channels", 8}}) == 749826464);
  CHECK(parameters(sana, Json::object()) == 1604462752);
  CHECK(parameters(sana, sana_600m()) == 591747872);
}

TEST_CASE("absent fields have the defaults of the classes") {
  const DiffusionConfig a = read(dit, Json::object());
  CHECK(a.width() == 1152);
  CHECK(a.out_channels == a.in_channels);  // null means as many as come in
  CHECK(a.norm_eps == 1e-5);
  CHECK(a.classes == 1000);
  CHECK(a.sample_size == 32);
  const DiffusionConfig b = read(pixart, {{"caption_channels", 4096}});
  CHECK(b.out_channels == 8);
  CHECK(b.norm_eps == 1e-6);
  CHECK(b.attention_bias);
  const DiffusionConfig c = read(sana, Json::object());
  CHECK(c.width() == 2240);
  CHECK(c.feed_forward == 5600);
  CHECK_FALSE(c.attention_bias);
  CHECK_FALSE(c.positions);
  CHECK(read(sana, {{"interpolation_scale", 2.0}}).positions == 2.0);
}

TEST_CASE("null fields of PixArt mean a rule, and written ones mean what they say") {
  const auto with = [](Json changes) {
    Json config = sigma_1024();
    config.update(changes);
    return read(pixart, config);
  };
  CHECK_FALSE(with(Json::object()).micro_conditions);
  CHECK(with({{"use_additional_conditions", nullptr}}).micro_conditions);
  CHECK_FALSE(with({{"use_additional_conditions", nullptr}, {"sample_size", 64}}).micro_conditions);
  CHECK(with({{"use_additional_conditions", true}, {"sample_size", 64}}).micro_conditions);
  CHECK(with({{"interpolation_scale", nullptr}}).positions == 2.0);
  CHECK(with({{"interpolation_scale", nullptr}, {"sample_size", 32}}).positions == 1.0);
  CHECK(with({{"interpolation_scale", 0.5}, {"sample_size", 32}}).positions == 0.5);
  CHECK(with({{"out_channels", nullptr}}).out_channels == 4);
}

TEST_CASE("fields that are not known or not supported are refused with what is allowed") {
  const auto refused = [](const char* architecture, Json base, Json changes) {
    base.update(changes);
    return data_error([&] { read(architecture, base); });
  };
  CHECK(mentions(refused(pixart, sigma_1024(), {{"sample_sise", 64}}), "did you mean \"sample_size\""));
  CHECK(mentions(refused(pixart, sigma_1024(), {{"caption_channels", nullptr}}), "caption_channels: missing"));
  CHECK(mentions(refused(pixart, sigma_1024(), {{"norm_type", "layer_norm"}}), "allowed: \"ada_norm_single\""));
  CHECK(mentions(refused(pixart, sigma_1024(), {{"activation_fn", "geglu"}}), "\"geglu\" is not supported"));
  CHECK(mentions(refused(pixart, sigma_1024(), {{"cross_attention_dim", 768}}), "768; allowed: num_attention_heads"));
  CHECK(mentions(refused(dit, Json::object(), {{"norm_elementwise_affine", true}}), "norm_elementwise_affine: true"));
  CHECK(mentions(refused(dit, Json::object(), {{"num_embeds_ada_norm", nullptr}}), "num_embeds_ada_norm: null"));
  CHECK(mentions(refused(dit, Json::object(), {{"num_layers", 0}}), "an integer from 1"));
  CHECK(mentions(refused(dit, Json::object(), {{"attention_head_dim", 71}, {"num_attention_heads", 3}}),
                 "multiple of 4"));
  CHECK(mentions(refused(sana, Json::object(), {{"qk_norm", "layer_norm"}}), "allowed: \"rms_norm_across_heads\""));
  CHECK(mentions(refused(sana, Json::object(), {{"interpolation_scale", "two"}}), "interpolation_scale"));
  CHECK(mentions(data_error([] { read("PixArtTransformer2D", Json::object()); }),
                 "did you mean \"PixArtTransformer2DModel\""));
}

TEST_CASE("tensors that are missing, unexpected or of another shape are named together, with the nearest name") {
  const DiffusionConfig config = read(sana, tiny_sana());
  test::FakeCheckpoint checkpoint = complete(sana, tiny_sana());
  CHECK(check_diffusion_tensors(checkpoint, config).empty());
  checkpoint.add("in.x", {1});
  CHECK(check_diffusion_tensors(checkpoint, config) == std::vector<std::string>{"in.x"});
  checkpoint = complete(sana, tiny_sana());
  checkpoint.remove("transformer_blocks.1.ff.conv_point.weight");
  checkpoint.add("transformer_blocks.1.ff.conv_point.weights", {24, 60, 1, 1});
  checkpoint.tensor("caption_norm.weight").shape = {25};
  const std::string text = data_error([&] { check_diffusion_tensors(checkpoint, config); });
  CHECK(mentions(text,
                 "missing tensor transformer_blocks.1.ff.conv_point.weight [24, 60, 1, 1] (did you mean "
                 "\"transformer_blocks.1.ff.conv_point.weights\"?)"));
  CHECK(mentions(text, "unexpected tensor transformer_blocks.1.ff.conv_point.weights [24, 60, 1, 1]"));
  CHECK(mentions(text, "caption_norm.weight has shape [25], expected [24]"));
}

TEST_CASE("settings that need other tensors say which") {
  const auto checked = [](Json changes) {
    const test::FakeCheckpoint checkpoint = complete(sana, tiny_sana());
    Json config = tiny_sana();
    config.update(changes);
    return data_error([&] { check_diffusion_tensors(checkpoint, read(sana, config)); });
  };
  CHECK(mentions(checked({{"qk_norm", "rms_norm_across_heads"}}),
                 "missing tensor transformer_blocks.0.attn1.norm_k.weight"));
  const std::string guided = checked({{"guidance_embeds", true}});
  CHECK(mentions(guided, "missing tensor time_embed.guidance_embedder.linear_1.bias"));
  CHECK(mentions(guided, "unexpected tensor time_embed.emb.timestep_embedder.linear_1"));
  CHECK(mentions(checked({{"num_layers", 999}}), "999 layers are configured"));
  test::FakeCheckpoint whole = complete(sana, tiny_sana());
  whole.tensor("transformer_blocks.1.attn1.to_q.weight").type = DType::i32;
  CHECK(mentions(data_error([&] { describe_model(whole); }),
                 "transformer_blocks.1.attn1.to_q.weight holds I32 values, where numbers with a fraction are needed"));
}

TEST_CASE("slots stand in the order of a pass, named after the first weight that reads them") {
  const std::vector<SlotInfo> slots = diffusion_block_slots(read(pixart, sigma_1024()), 3);
  std::vector<std::string> names;
  for (const SlotInfo& slot : slots) names.push_back(slot.name);
  const std::string p = "transformer_blocks.3.";
  CHECK(names == std::vector<std::string>{p + "attn1.to_q.input", p + "attn1.to_out.0.input", p + "attn2.to_k.input",
                                          p + "attn2.to_q.input", p + "attn2.to_out.0.input", p + "ff.net.0.proj.input",
                                          p + "ff.net.2.input"});
  CHECK(slots[0].linears == std::vector<std::string>{p + "attn1.to_q", p + "attn1.to_k", p + "attn1.to_v"});
  CHECK(slots[2].linears == std::vector<std::string>{p + "attn2.to_k", p + "attn2.to_v"});
  CHECK(slots[6].features == 4608);
  CHECK(slots[6].layer == 3);
  for (const SlotInfo& slot : slots) {
    CHECK((slot.rows == SlotRows::context) == (slot.name == p + "attn2.to_k.input"));
    CHECK(quantized_by_default(slot) == (slot.rows == SlotRows::grid));
  }
  CHECK(diffusion_slots(read(pixart, sigma_1024())).size() == 7 * 28);
  CHECK(diffusion_slots(read(dit, Json::object())).size() == 4 * 28);
  const std::vector<SlotInfo> of_sana = diffusion_block_slots(read(sana, sana_600m()), 0);
  CHECK(of_sana.back().name == "transformer_blocks.0.ff.conv_point.input");
  CHECK(of_sana.back().features == 2880);
}

TEST_CASE("elements of the weights that are quantized by default are those of the papers") {
  const auto quantized = [](const char* architecture, const Json& config) {
    const test::FakeCheckpoint checkpoint = complete(architecture, config);
    std::int64_t sum = 0;
    for (const SlotInfo& slot : diffusion_block_slots(read(architecture, config), 0))
      if (quantized_by_default(slot))
        for (const std::string& name : slot.linears) sum += checkpoint.at(name + ".weight").elements();
    return sum;
  };
  CHECK(quantized(pixart, sigma_1024()) == 18579456);
  CHECK(quantized(sana, Json::object()) == 67737600);
  CHECK(quantized(sana, sana_600m()) == 17915904);
}

TEST_CASE("a diffusion transformer is described with its slots and where they are") {
  const Json json = describe_model(complete(sana, tiny_sana()));
  CHECK(json.at("architecture") == sana);
  CHECK(json.at("parameters") == parameters(sana, tiny_sana()));
  CHECK(json.at("dimensions").at("hidden") == 24);
  CHECK(json.at("dimensions").at("tokens") == 64);
  const Json& slots = json.at("slots");
  REQUIRE(slots.size() == 14);
  CHECK(slots[2].at("name") == "transformer_blocks.0.attn2.to_k.input");
  CHECK(slots[2].at("rows") == "context");
  CHECK(slots[2].at("quantized") == false);
  CHECK(slots[3].at("rows") == "grid");
  CHECK(slots[3].at("quantized") == true);
  CHECK(json.at("positions") == "none");
  const Json of_dit = describe_model(complete(dit, {{"num_layers", 1}}));
  CHECK(of_dit.at("dimensions").at("classes") == 1000);
  CHECK(of_dit.at("positions") == Json({{"kind", "sincos"}, {"scale", 1.0}}));
}
