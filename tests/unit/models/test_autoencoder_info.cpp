// Configurations and tensors of image autoencoders (specification models 13).
#include "models/info/autoencoder_config.h"
#include "support/catch.h"
#include "unit/models/fake_checkpoint.h"

using namespace stamp;
using test::data_error;

namespace {

Json stable_diffusion_vae() {
  return Json::parse(R"({"_class_name": "AutoencoderKL", "_diffusers_version": "0.4.2", "act_fn": "silu",
    "block_out_channels": [128, 256, 512, 512], "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D",
    "DownEncoderBlock2D", "DownEncoderBlock2D"], "force_upcast": true, "in_channels": 3, "latent_channels": 4,
    "layers_per_block": 2, "norm_num_groups": 32, "out_channels": 3, "sample_size": 1024, "scaling_factor": 0.13025,
    "shift_factor": null, "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D",
    "UpDecoderBlock2D"]})");
}
Json sana_vae() {
  return Json::parse(R"({"_class_name": "AutoencoderDC", "attention_head_dim": 32, "decoder_act_fns": "silu",
    "decoder_block_out_channels": [128, 256, 512, 512, 1024, 1024], "decoder_block_types": ["ResBlock", "ResBlock",
    "ResBlock", "EfficientViTBlock", "EfficientViTBlock", "EfficientViTBlock"], "decoder_layers_per_block":
    [3, 3, 3, 3, 3, 3], "decoder_norm_types": "rms_norm", "decoder_qkv_multiscales": [[], [], [], [5], [5], [5]],
    "downsample_block_type": "conv", "encoder_block_out_channels": [128, 256, 512, 512, 1024, 1024],
    "encoder_block_types": ["ResBlock", "ResBlock", "ResBlock", "EfficientViTBlock", "EfficientViTBlock",
    "EfficientViTBlock"], "encoder_layers_per_block": [2, 2, 2, 3, 3, 3], "encoder_qkv_multiscales":
    [[], [], [], [5], [5], [5]], "in_channels": 3, "latent_channels": 32, "scaling_factor": 0.41407,
    "upsample_block_type": "interpolate"})");
}

std::int64_t count(const std::vector<ExpectedTensor>& tensors, const std::string& start) {
  std::vector<ExpectedTensor> part;
  for (const ExpectedTensor& tensor : tensors)
    if (tensor.name.rfind(start, 0) == 0) part.push_back(tensor);
  return parameters_of(part);
}

template <class Read>
std::string fault(Json config, const std::string& key, const Json& value, Read read) {
  config[key] = value;
  return data_error([&] { read(config, "config.json"); });
}
std::string kl_fault(const std::string& key, const Json& value) {
  return fault(stable_diffusion_vae(), key, value, read_autoencoder_kl);
}
std::string dc_fault(const std::string& key, const Json& value) {
  return fault(sana_vae(), key, value, read_autoencoder_dc);
}
bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

Json small_kl() {
  return {{"block_out_channels", {8}}, {"norm_num_groups", 4}, {"layers_per_block", 1}};
}
test::FakeCheckpoint checkpoint_of(const Json& config, const std::vector<ExpectedTensor>& tensors) {
  test::FakeCheckpoint out(config, "AutoencoderKL");
  for (const ExpectedTensor& tensor : tensors) out.add(tensor.name, tensor.shape);
  return out;
}

}  // namespace

TEST_CASE("The autoencoder of Stable Diffusion's family has as many parameters as published") {
  const AutoencoderKlConfig config = read_autoencoder_kl(stable_diffusion_vae(), "config.json");
  const std::vector<ExpectedTensor> tensors = autoencoder_tensors(config);
  CHECK(parameters_of(tensors) == 83653863);
  CHECK(count(tensors, "decoder.") + count(tensors, "post_quant_conv.") == 49490199);
  CHECK(config.scaling_factor == 0.13025);
  CHECK(config.shift == 0);
}

TEST_CASE("SANA's autoencoder has as many parameters as published, in both halves") {
  const AutoencoderDcConfig config = read_autoencoder_dc(sana_vae(), "config.json");
  const std::vector<ExpectedTensor> tensors = autoencoder_tensors(config);
  CHECK(parameters_of(tensors) == 312250275);
  CHECK(count(tensors, "encoder.") == 153027104);
  CHECK(count(tensors, "decoder.") == 159223171);
  CHECK(config.scaling_factor == 0.41407);
  CHECK(config.interpolate);
  CHECK_FALSE(config.unshuffle);
}

TEST_CASE("Missing fields have the class's defaults") {
  const AutoencoderDcConfig dc = read_autoencoder_dc(Json::object(), "config.json");
  CHECK(dc.encoder.size() == 6);
  CHECK_FALSE(dc.decoder[5].attention);  // residual blocks everywhere unless a list says otherwise
  CHECK(dc.unshuffle);
  CHECK_FALSE(dc.interpolate);
  const AutoencoderKlConfig kl = read_autoencoder_kl(Json::object(), "config.json");
  CHECK(kl.channels == std::vector<std::int64_t>{64});
  CHECK(kl.layers == 1);
  CHECK(kl.scaling_factor == 0.18215);
  CHECK(kl.quant_conv);
}

TEST_CASE("Fields of AutoencoderKL that are not supported are refused by name") {
  CHECK(holds(kl_fault("act_fn", "relu"), "config.json: act_fn: \"relu\" is not supported; allowed: \"silu\""));
  CHECK(holds(kl_fault("down_block_types", {"DownEncoderBlock2D"}), "down_block_types: 1 entries; allowed: 4"));
  CHECK(holds(kl_fault("up_block_types", {"UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D", "X"}), "\"X\""));
  CHECK(holds(kl_fault("block_out_channels", {128, 256, 512, 500}), "multiples of 32 (norm_num_groups)"));
  CHECK(holds(kl_fault("block_out_channels", {128, 0}), "block_out_channels: [128,0]"));
  CHECK(holds(kl_fault("block_out_channels", Json::array()), "0 stages"));
  CHECK(holds(kl_fault("block_out_channels", 128), "a list of integers"));
  CHECK(holds(kl_fault("in_channels", 4), "in_channels"));
  CHECK(holds(kl_fault("latents_mean", {0.1}), "latents_mean"));
  CHECK(holds(kl_fault("scaling_facto", 0.2), "did you mean \"scaling_factor\"?"));
  CHECK(kl_fault("latents_std", nullptr) == "");
  CHECK(kl_fault("_name_or_path", "anything") == "");
  CHECK(kl_fault("shift_factor", -0.1) == "");
  Json config = stable_diffusion_vae();
  config.erase("up_block_types");
  CHECK(holds(data_error([&] { read_autoencoder_kl(config, "config.json"); }), "up_block_types: missing"));
}

TEST_CASE("Variants of AutoencoderDC that are not supported are refused by name") {
  CHECK(
      holds(dc_fault("decoder_norm_types", {"rms_norm", "rms_norm", "rms_norm", "batch_norm", "rms_norm", "rms_norm"}),
            "decoder_norm_types: \"batch_norm\" is not supported"));
  CHECK(holds(dc_fault("decoder_act_fns", "relu"), "decoder_act_fns"));
  CHECK(holds(dc_fault("decoder_conv_act_fn", "silu"), "decoder_conv_act_fn"));
  CHECK(holds(dc_fault("encoder_layers_per_block", {0, 2, 2, 3, 3, 3}), "encoder_layers_per_block: [0,2,2,3,3,3]"));
  CHECK(holds(dc_fault("encoder_block_types", "EfficentViTBlock"), "did you mean \"EfficientViTBlock\"?"));
  CHECK(holds(dc_fault("downsample_block_type", "Conv"), "did you mean \"conv\"?"));
  CHECK(holds(dc_fault("upsample_block_type", "nearest"), "allowed: pixel_shuffle, interpolate"));
  CHECK(holds(dc_fault("decoder_qkv_multiscales", Json::parse("[[], [], [], [5], [5], [4]]")), "odd kernel sizes"));
  CHECK(holds(dc_fault("decoder_qkv_multiscales", Json::parse("[[], [5]]")), "2 entries"));
  CHECK(holds(dc_fault("attention_head_dim", 48), "multiples of 48 (attention_head_dim)"));
  CHECK(holds(dc_fault("latent_channels", 48), "multiples of 48"));
  CHECK(holds(dc_fault("encoder_block_out_channels", {128, 256, 512, 512, 1024}), "6 entries; allowed: 5"));
  CHECK(holds(dc_fault("decoder_block_out_channels", {128, 256, 512, 512, 1024, 5120}), "four times a width"));
  CHECK(holds(dc_fault("in_channels", 1), "in_channels"));
}

TEST_CASE("Tensors that do not fit are listed in one error") {
  const Json config = small_kl();
  const auto expected = autoencoder_tensors(read_autoencoder_kl(config, "config.json"));
  test::FakeCheckpoint checkpoint = checkpoint_of(config, expected);
  CHECK(find_autoencoder_tensors(checkpoint, expected).size() == expected.size());
  checkpoint.add("in.x", {1, 3, 8, 8});  // of no part of the network
  CHECK(find_autoencoder_tensors(checkpoint, expected).size() == expected.size());

  checkpoint.remove("quant_conv.bias");
  checkpoint.tensor("decoder.conv_out.weight").shape = {3, 8, 1, 1};
  checkpoint.add("decoder.up_blocks.0.resnets.7.conv1.bias", {8});
  checkpoint.tensor("decoder.conv_in.bias").type = DType::i32;
  const std::string message = data_error([&] { find_autoencoder_tensors(checkpoint, expected); });
  CHECK(holds(message, "missing tensor quant_conv.bias [8]"));
  CHECK(holds(message, "decoder.conv_out.weight has shape [3, 8, 1, 1], expected [3, 8, 3, 3]"));
  CHECK(holds(message, "decoder.conv_in.bias holds I32 values"));
  CHECK(holds(message, "unexpected tensor decoder.up_blocks.0.resnets.7.conv1.bias [8]"));
}

TEST_CASE("Attention under its older names is found, as matrices and as 1 x 1 convolutions") {
  const Json config = small_kl();
  const auto expected = autoencoder_tensors(read_autoencoder_kl(config, "config.json"));
  test::FakeCheckpoint checkpoint = checkpoint_of(config, expected);
  const std::string p = "decoder.mid_block.attentions.0.";
  const std::map<std::string, std::string> older = {
      {"to_q", "query"}, {"to_k", "key"}, {"to_v", "value"}, {"to_out.0", "proj_attn"}};
  for (const auto& [now, before] : older) {
    checkpoint.remove(p + now + ".weight");
    checkpoint.remove(p + now + ".bias");
    checkpoint.add(p + before + ".weight",
                   now == "to_q" ? std::vector<std::int64_t>{8, 8, 1, 1} : std::vector<std::int64_t>{8, 8});
    checkpoint.add(p + before + ".bias", {8});
  }
  const auto found = find_autoencoder_tensors(checkpoint, expected);
  CHECK(found.at(p + "to_q.weight").name == p + "query.weight");
  CHECK(found.at(p + "to_q.weight").shape == std::vector<std::int64_t>{8, 8});
  CHECK(found.at(p + "to_out.0.bias").name == p + "proj_attn.bias");
}
