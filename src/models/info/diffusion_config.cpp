#include "models/info/diffusion_config.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/text.h"
#include "models/info/config_reader.h"

namespace stamp {
namespace {

constexpr const char* dit_class = "DiTTransformer2DModel";
constexpr const char* pixart_class = "PixArtTransformer2DModel";
constexpr const char* sana_class = "SanaTransformer2DModel";

// Sizes beyond these are slips: products of them still fit into 64 bits.
constexpr std::int64_t most_heads = 1024, most_head_dim = 1024, most_layers = 1024, most_channels = 1 << 16;

struct Defaults {
  std::int64_t in_channels, heads, head_dim, layers, sample_size, patch_size;
  std::optional<std::int64_t> out_channels;  // empty: as many as come in
  double norm_eps;
  bool attention_bias;
};

class Reader {
 public:
  Reader(const Json& config, const std::string& place, DiffusionConfig& out) : read_(config, place), out_(out) {}

  void common(const Defaults& d) {
    out_.heads = read_.integer("num_attention_heads", d.heads, 1, most_heads);
    out_.head_dim = read_.integer("attention_head_dim", d.head_dim, 1, most_head_dim);
    out_.in_channels = read_.integer("in_channels", d.in_channels, 1, most_channels);
    const bool as_many = read_.is_null("out_channels") || !d.out_channels;
    out_.out_channels = read_.integer("out_channels", as_many ? out_.in_channels : *d.out_channels, 1, most_channels);
    out_.layers = read_.integer("num_layers", d.layers, 1, most_layers);
    out_.sample_size = read_.integer("sample_size", d.sample_size, 1, most_channels);
    out_.patch_size = read_.integer("patch_size", d.patch_size, 1, 64);
    out_.norm_eps = read_.real("norm_eps", d.norm_eps, 0, 1);
    out_.attention_bias = read_.flag("attention_bias", d.attention_bias);
    if (out_.patch_size > out_.sample_size)
      read_.refuse("patch_size", std::to_string(out_.patch_size),
                   "at most sample_size (" + std::to_string(out_.sample_size) + ")");
    if (read_.flag("norm_elementwise_affine", false))
      read_.refuse("norm_elementwise_affine", "true", "false: norms with weights of their own are not supported");
    skip({"dropout"});  // there is none when nothing is trained
  }

  // What BasicTransformerBlock of diffusers takes besides.
  void plain_block(const std::string& norm_type) {
    only("norm_type", norm_type);
    only("activation_fn", "gelu-approximate");
    if (read_.is_null("num_embeds_ada_norm")) read_.refuse("num_embeds_ada_norm", "null", "an integer");
    skip({"norm_num_groups", "upcast_attention"});  // unused with patches; float32 in any case
    out_.feed_forward = 4 * out_.width();
  }

  void dit() {
    common({4, 16, 72, 28, 32, 2, std::nullopt, 1e-5, true});
    plain_block("ada_norm_zero");
    out_.classes = read_.integer("num_embeds_ada_norm", 1000, 1, 1 << 24);
    out_.positions = 1;
  }

  void pixart() {
    common({4, 16, 72, 28, 128, 2, 8, 1e-6, true});
    plain_block("ada_norm_single");
    skip({"num_embeds_ada_norm"});  // only its presence counts
    only("attention_type", "default");
    // Null or absent: a rule for checkpoints older than the fields (models 10.1).
    out_.positions = read_.real("interpolation_scale",
                                static_cast<double>(std::max<std::int64_t>(out_.sample_size / 64, 1)), 0, 1e6);
    out_.micro_conditions = read_.flag("use_additional_conditions", out_.sample_size == 128);
    if (out_.micro_conditions && out_.width() % 3 != 0)
      read_.refuse("use_additional_conditions", "true with a width of " + std::to_string(out_.width()),
                   "a width that three embeddings share");
    out_.caption_channels = read_.integer("caption_channels", {}, 1, most_channels);
    out_.cross_heads = out_.heads;
    out_.cross_head_dim = out_.head_dim;
    cross_attention_dim(1152);
  }

  void sana() {
    common({32, 70, 32, 20, 32, 1, 32, 1e-6, false});
    out_.cross_heads = read_.integer("num_cross_attention_heads", 20, 1, most_heads);
    out_.cross_head_dim = read_.integer("cross_attention_head_dim", 112, 1, most_head_dim);
    for (const char* key : {"num_cross_attention_heads", "cross_attention_head_dim"})
      if (read_.is_null(key)) read_.refuse(key, "null", "an integer");
    cross_attention_dim(2240);
    out_.caption_channels = read_.integer("caption_channels", 2304, 1, most_channels);
    const double ratio = read_.real("mlp_ratio", 2.5, 0, 64);
    out_.feed_forward = static_cast<std::int64_t>(ratio * static_cast<double>(out_.width()));
    if (out_.feed_forward < 1) read_.refuse("mlp_ratio", number_text(ratio), "a ratio that leaves one channel or more");
    if (read_.has("interpolation_scale")) out_.positions = read_.real("interpolation_scale", {}, 0, 1e6);
    out_.guidance = read_.flag("guidance_embeds", false);
    out_.guidance_scale = read_.real("guidance_embeds_scale", 0.1, 0, 1e6);
    out_.timestep_scale = read_.real("timestep_scale", 1.0, 0, 1e6);
    out_.qk_norm = read_.has("qk_norm");
    if (out_.qk_norm) only("qk_norm", "rms_norm_across_heads");
  }

  void finish() const {
    if (out_.positions && out_.width() % 4 != 0)
      read_.refuse("attention_head_dim", "a width of " + std::to_string(out_.width()),
                   "a width that sines and cosines of two coordinates share (a multiple of 4)");
    for (const std::string& key : read_.unread()) {
      if (key.rfind('_', 0) == 0) continue;  // _class_name, _diffusers_version, _name_or_path
      read_.refuse(key, "a field that is not known" + did_you_mean(key, known_), "the fields of " + out_.architecture);
    }
  }

 private:
  void skip(std::initializer_list<const char*> keys) const {
    for (const char* key : keys) read_.has(key);
  }
  void only(const char* key, const std::string& value) const {
    const std::string given = read_.text(key, value);
    if (given != value) read_.refuse(key, "\"" + given + "\" is not supported", "\"" + value + "\"");
  }
  // The projected caption is as wide as the residual stream, and keys and values read it.
  void cross_attention_dim(std::int64_t fallback) const {
    if (read_.is_null("cross_attention_dim")) read_.refuse("cross_attention_dim", "null", std::to_string(out_.width()));
    const std::int64_t given = read_.integer("cross_attention_dim", fallback);
    if (given != out_.width())
      read_.refuse("cross_attention_dim", std::to_string(given),
                   "num_attention_heads * attention_head_dim (" + std::to_string(out_.width()) + ")");
  }

  ConfigReader read_;
  DiffusionConfig& out_;
  const std::vector<std::string> known_ = {"num_attention_heads",
                                           "attention_head_dim",
                                           "in_channels",
                                           "out_channels",
                                           "num_layers",
                                           "sample_size",
                                           "patch_size",
                                           "norm_eps",
                                           "attention_bias",
                                           "norm_type",
                                           "activation_fn",
                                           "num_embeds_ada_norm",
                                           "interpolation_scale",
                                           "use_additional_conditions",
                                           "caption_channels",
                                           "cross_attention_dim",
                                           "num_cross_attention_heads",
                                           "cross_attention_head_dim",
                                           "mlp_ratio",
                                           "guidance_embeds",
                                           "guidance_embeds_scale",
                                           "timestep_scale",
                                           "qk_norm"};
};

}  // namespace

const std::vector<std::string>& diffusion_architectures() {
  static const std::vector<std::string> names = {pixart_class, dit_class, sana_class};
  return names;
}

bool is_diffusion_architecture(const std::string& name) {
  const std::vector<std::string>& names = diffusion_architectures();
  return std::find(names.begin(), names.end(), name) != names.end();
}

DiffusionConfig read_diffusion_config(const Json& config, const std::string& architecture, const std::string& place) {
  if (!is_diffusion_architecture(architecture))
    throw DataError(place + "_class_name: \"" + architecture + "\" is not a diffusion transformer that is supported" +
                    did_you_mean(architecture, diffusion_architectures()) +
                    "; allowed: " + join(diffusion_architectures(), ", "));
  DiffusionConfig out;
  out.architecture = architecture;
  Reader reader(config, place, out);
  if (architecture == dit_class) {
    out.kind = DiffusionKind::dit;
    reader.dit();
  } else if (architecture == pixart_class) {
    out.kind = DiffusionKind::pixart;
    reader.pixart();
  } else {
    out.kind = DiffusionKind::sana;
    reader.sana();
  }
  reader.finish();
  return out;
}

}  // namespace stamp
