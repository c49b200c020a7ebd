#include "models/info/autoencoder_config.h"

#include "base/error.h"
#include "base/text.h"
#include "models/info/config_reader.h"

namespace stamp {
namespace {

// Bounds on what a file may ask for before its tensors are looked at.
constexpr std::int64_t most_channels = 1 << 16, most_layers = 64;
constexpr std::size_t most_stages = 9;

std::string shown(const Json& value) {
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

// ConfigReader has no lists of numbers and no "one or a list"; these keep its rules and messages.
class Fields {
 public:
  Fields(const Json& config, const std::string& place) : reader_(config, place + ": "), config_(config) {}
  const ConfigReader& reader() const { return reader_; }

  std::vector<std::int64_t> integers(const std::string& key, std::vector<std::int64_t> fallback, std::int64_t high) {
    return reader_.has(key) ? integers_of(key, config_.at(key), high) : std::move(fallback);
  }
  std::vector<std::vector<std::int64_t>> integer_lists(const std::string& key,
                                                       std::vector<std::vector<std::int64_t>> fallback,
                                                       std::int64_t high) {
    if (!reader_.has(key)) return fallback;
    const Json& value = config_.at(key);
    if (!value.is_array()) reader_.refuse(key, shown(value), "a list of lists of integers");
    std::vector<std::vector<std::int64_t>> out;
    for (const Json& entry : value) out.push_back(integers_of(key, entry, high));
    return out;
  }
  // A text stands for every stage.
  std::vector<std::string> texts_per_stage(const std::string& key, const std::string& fallback, std::size_t stages) {
    if (!reader_.has(key)) return std::vector<std::string>(stages, fallback);
    if (!reader_.is_list(key)) return std::vector<std::string>(stages, reader_.text(key, fallback));
    std::vector<std::string> out = reader_.texts(key);
    if (out.size() != stages) reader_.refuse(key, std::to_string(out.size()) + " entries", lists_of(stages));
    return out;
  }
  void require_only(const std::string& key, const std::string& only, std::size_t stages) {
    for (const std::string& text : texts_per_stage(key, only, stages))
      if (text != only) reader_.refuse(key, "\"" + text + "\" is not supported", "\"" + only + "\"");
  }
  void require_text(const std::string& key, const std::string& only) {
    if (const std::string text = reader_.text(key, only); text != only)
      reader_.refuse(key, "\"" + text + "\" is not supported", "\"" + only + "\"");
  }
  static std::string lists_of(std::size_t stages) { return std::to_string(stages) + ", one per stage"; }

  // Fields with a value that nobody looked at; those with a leading underscore are diffusers' own.
  void refuse_unread(const std::vector<std::string>& known) const {
    for (const std::string& key : reader_.unread())
      if (key.rfind('_', 0) != 0)
        reader_.refuse(key, shown(config_.at(key)) + did_you_mean(key, known),
                       "this class's fields that are supported");
  }

 private:
  std::vector<std::int64_t> integers_of(const std::string& key, const Json& value, std::int64_t high) const {
    const std::string allowed = "a list of integers from 1 to " + std::to_string(high);
    if (!value.is_array()) reader_.refuse(key, shown(value), allowed);
    std::vector<std::int64_t> out;
    for (const Json& entry : value) {
      const double number = entry.is_number() ? entry.get<double>() : 0;
      if (!(number >= 1 && number <= static_cast<double>(high)) ||
          number != static_cast<double>(static_cast<std::int64_t>(number)))
        reader_.refuse(key, shown(value), allowed);
      out.push_back(static_cast<std::int64_t>(number));
    }
    return out;
  }

  ConfigReader reader_;
  const Json& config_;
};

void check_stages(const ConfigReader& reader, const std::string& key, std::size_t stages) {
  if (stages == 0 || stages > most_stages)
    reader.refuse(key, std::to_string(stages) + " stages", "1 to " + std::to_string(most_stages));
}

void check_multiple(const ConfigReader& reader, const std::string& key, std::int64_t value, std::int64_t of,
                    const std::string& what) {
  if (value % of != 0)
    reader.refuse(key, std::to_string(value), "multiples of " + std::to_string(of) + " (" + what + ")");
}

std::vector<DcStage> read_dc_stages(Fields& fields, const std::string& half, const std::vector<std::int64_t>& layers) {
  const ConfigReader& reader = fields.reader();
  const std::string widths = half + "_block_out_channels", counts = half + "_layers_per_block",
                    types = half + "_block_types", scales = half + "_qkv_multiscales";
  const std::vector<std::int64_t> channels = fields.integers(widths, {128, 256, 512, 512, 1024, 1024}, most_channels);
  check_stages(reader, widths, channels.size());
  // A first stage without layers changes what the ends of the network are; those models are not read here.
  const std::vector<std::int64_t> count = fields.integers(counts, layers, most_layers);
  if (count.size() != channels.size())
    reader.refuse(counts, std::to_string(count.size()) + " entries", Fields::lists_of(channels.size()));
  const std::vector<std::string> type = fields.texts_per_stage(types, "ResBlock", channels.size());
  const auto kernels = fields.integer_lists(scales, {{}, {}, {}, {5}, {5}, {5}}, 31);
  if (kernels.size() != channels.size())
    reader.refuse(scales, std::to_string(kernels.size()) + " entries", Fields::lists_of(channels.size()));
  std::vector<DcStage> out;
  for (std::size_t i = 0; i < channels.size(); ++i) {
    if (type[i] != "ResBlock" && type[i] != "EfficientViTBlock")
      reader.refuse(types, "\"" + type[i] + "\"" + did_you_mean(type[i], {"ResBlock", "EfficientViTBlock"}),
                    "ResBlock, EfficientViTBlock");
    for (const std::int64_t kernel : kernels[i])
      if (kernel % 2 == 0) reader.refuse(scales, std::to_string(kernel), "odd kernel sizes");
    const bool attention = type[i] == "EfficientViTBlock";
    out.push_back({channels[i], count[i], attention, attention ? kernels[i] : std::vector<std::int64_t>{}});
  }
  return out;
}

// Shortcuts group channels, shuffles take four at a time and heads have head_dim of them.
void check_dc_widths(const ConfigReader& reader, const AutoencoderDcConfig& c) {
  for (std::size_t i = 0; i + 1 < c.encoder.size(); ++i) {
    const std::int64_t wide = c.encoder[i + 1].channels, fine = c.encoder[i].channels;
    check_multiple(reader, "encoder_block_out_channels", 4 * fine, wide, "four times a width, by the next one");
    if (c.unshuffle) check_multiple(reader, "encoder_block_out_channels", wide, 4, "pixel_unshuffle");
    check_multiple(reader, "decoder_block_out_channels", 4 * c.decoder[i].channels, c.decoder[i + 1].channels,
                   "four times a width, by the next one");
  }
  if (c.encoder_out_shortcut)
    check_multiple(reader, "encoder_block_out_channels", c.encoder.back().channels, c.latent_channels,
                   "latent_channels, for the shortcut at the end");
  if (c.decoder_in_shortcut)
    check_multiple(reader, "decoder_block_out_channels", c.decoder.back().channels, c.latent_channels,
                   "latent_channels, for the shortcut at the start");
  for (const auto* half : {&c.encoder, &c.decoder})
    for (const DcStage& stage : *half)
      if (stage.attention)
        check_multiple(reader, half == &c.encoder ? "encoder_block_out_channels" : "decoder_block_out_channels",
                       stage.channels, c.head_dim, "attention_head_dim");
}

}  // namespace

AutoencoderKlConfig read_autoencoder_kl(const Json& config, const std::string& place) {
  Fields fields(config, place);
  const ConfigReader& reader = fields.reader();
  AutoencoderKlConfig c;
  c.channels = fields.integers("block_out_channels", {64}, most_channels);
  check_stages(reader, "block_out_channels", c.channels.size());
  for (const char* key : {"down_block_types", "up_block_types"}) {
    const std::string only = key[0] == 'd' ? "DownEncoderBlock2D" : "UpDecoderBlock2D";
    if (!reader.has(key) && c.channels.size() > 1)
      reader.refuse(key, "missing", Fields::lists_of(c.channels.size()) + ", all \"" + only + "\"");
    fields.require_only(key, only, c.channels.size());
  }
  for (const char* key : {"in_channels", "out_channels"}) reader.integer(key, 3, 3, 3);
  c.layers = reader.integer("layers_per_block", 1, 1, most_layers);
  c.latent_channels = reader.integer("latent_channels", 4, 1, most_channels);
  c.groups = reader.integer("norm_num_groups", 32, 1, most_channels);
  for (const std::int64_t width : c.channels)
    check_multiple(reader, "block_out_channels", width, c.groups, "norm_num_groups");
  fields.require_text("act_fn", "silu");
  c.scaling_factor = reader.real("scaling_factor", 0.18215);
  c.shift = reader.real("shift_factor", 0, -1e12);
  c.quant_conv = reader.flag("use_quant_conv", true);
  c.post_quant_conv = reader.flag("use_post_quant_conv", true);
  c.mid_attention = reader.flag("mid_block_add_attention", true);
  // Everything is computed in float32 and without tiles that are blended, so these two change nothing.
  reader.flag("force_upcast", true);
  reader.has("sample_size");
  fields.refuse_unread({"block_out_channels", "down_block_types", "up_block_types", "layers_per_block",
                        "latent_channels", "norm_num_groups", "act_fn", "scaling_factor", "shift_factor",
                        "use_quant_conv", "use_post_quant_conv", "mid_block_add_attention", "force_upcast",
                        "sample_size", "in_channels", "out_channels"});
  return c;
}

AutoencoderDcConfig read_autoencoder_dc(const Json& config, const std::string& place) {
  Fields fields(config, place);
  const ConfigReader& reader = fields.reader();
  AutoencoderDcConfig c;
  reader.integer("in_channels", 3, 3, 3);
  c.latent_channels = reader.integer("latent_channels", 32, 1, most_channels);
  c.head_dim = reader.integer("attention_head_dim", 32, 1, most_channels);
  c.encoder = read_dc_stages(fields, "encoder", {2, 2, 2, 3, 3, 3});
  c.decoder = read_dc_stages(fields, "decoder", {3, 3, 3, 3, 3, 3});
  if (c.encoder.size() != c.decoder.size())
    reader.refuse("decoder_block_out_channels", std::to_string(c.decoder.size()) + " stages",
                  std::to_string(c.encoder.size()) + ", as the encoder has");
  const std::string down = reader.text("downsample_block_type", "pixel_unshuffle");
  if (down != "pixel_unshuffle" && down != "conv")
    reader.refuse("downsample_block_type", "\"" + down + "\"" + did_you_mean(down, {"pixel_unshuffle", "conv"}),
                  "pixel_unshuffle, conv");
  c.unshuffle = down == "pixel_unshuffle";
  const std::string up = reader.text("upsample_block_type", "pixel_shuffle");
  if (up != "pixel_shuffle" && up != "interpolate")
    reader.refuse("upsample_block_type", "\"" + up + "\"" + did_you_mean(up, {"pixel_shuffle", "interpolate"}),
                  "pixel_shuffle, interpolate");
  c.interpolate = up == "interpolate";
  fields.require_only("decoder_norm_types", "rms_norm", c.decoder.size());
  fields.require_only("decoder_act_fns", "silu", c.decoder.size());
  fields.require_text("decoder_conv_act_fn", "relu");
  c.encoder_out_shortcut = reader.flag("encoder_out_shortcut", true);
  c.decoder_in_shortcut = reader.flag("decoder_in_shortcut", true);
  c.scaling_factor = reader.real("scaling_factor", 1);
  check_dc_widths(reader, c);
  std::vector<std::string> known = {"in_channels",           "latent_channels",     "attention_head_dim",
                                    "downsample_block_type", "upsample_block_type", "decoder_norm_types",
                                    "decoder_act_fns",       "decoder_conv_act_fn", "scaling_factor",
                                    "encoder_out_shortcut",  "decoder_in_shortcut"};
  for (const char* half : {"encoder", "decoder"})
    for (const char* end : {"_block_out_channels", "_layers_per_block", "_block_types", "_qkv_multiscales"})
      known.push_back(std::string(half) + end);
  fields.refuse_unread(known);
  return c;
}

}  // namespace stamp
