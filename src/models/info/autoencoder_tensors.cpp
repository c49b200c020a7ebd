#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/text.h"
#include "formats/dtype.h"
#include "models/info/autoencoder_config.h"

namespace stamp {
namespace {

// Writes expected tensors down in the names that diffusers gives them.
class Writer {
 public:
  std::vector<ExpectedTensor> take() { return std::move(out_); }

  void conv(const std::string& name, std::int64_t out, std::int64_t in, std::int64_t kernel, bool bias = true) {
    out_.push_back({name + ".weight", {out, in, kernel, kernel}});
    if (bias) out_.push_back({name + ".bias", {out}});
  }
  void norm(const std::string& name, std::int64_t width) {
    out_.push_back({name + ".weight", {width}});
    out_.push_back({name + ".bias", {width}});
  }
  void linear(const std::string& name, std::int64_t out, std::int64_t in, bool bias) {
    out_.push_back({name + ".weight", {out, in}});
    if (bias) out_.push_back({name + ".bias", {out}});
  }

  void kl_residual(const std::string& p, std::int64_t in, std::int64_t out) {
    norm(p + "norm1", in);
    conv(p + "conv1", out, in, 3);
    norm(p + "norm2", out);
    conv(p + "conv2", out, out, 3);
    if (in != out) conv(p + "conv_shortcut", out, in, 1);
  }
  void kl_middle(const std::string& p, std::int64_t width, bool attention) {
    kl_residual(p + "resnets.0.", width, width);
    kl_residual(p + "resnets.1.", width, width);
    if (!attention) return;
    norm(p + "attentions.0.group_norm", width);
    for (const char* part : {"to_q", "to_k", "to_v", "to_out.0"})
      linear(p + "attentions.0." + part, width, width, true);
  }

  void dc_block(const std::string& p, const DcStage& stage, std::int64_t head_dim) {
    const std::int64_t width = stage.channels;
    if (!stage.attention) {
      conv(p + "conv1", width, width, 3);
      conv(p + "conv2", width, width, 3, false);
      norm(p + "norm", width);
      return;
    }
    for (const char* part : {"to_q", "to_k", "to_v"}) linear(p + "attn." + part, width, width, false);
    for (std::size_t s = 0; s < stage.kernels.size(); ++s) {
      const std::string scale = p + "attn.to_qkv_multiscale." + std::to_string(s);
      conv(scale + ".proj_in", 3 * width, 1, stage.kernels[s], false);
      conv(scale + ".proj_out", 3 * width, head_dim, 1, false);
    }
    linear(p + "attn.to_out", width, width * (1 + static_cast<std::int64_t>(stage.kernels.size())), false);
    norm(p + "attn.norm_out", width);
    conv(p + "conv_out.conv_inverted", 8 * width, width, 1);
    conv(p + "conv_out.conv_depth", 8 * width, 1, 3);
    conv(p + "conv_out.conv_point", width, 4 * width, 1, false);
    norm(p + "conv_out.norm", width);
  }

 private:
  std::vector<ExpectedTensor> out_;
};

std::string older_name(std::string name) {
  static const std::vector<std::pair<std::string, std::string>> renamed = {
      {".to_q.", ".query."}, {".to_k.", ".key."}, {".to_v.", ".value."}, {".to_out.0.", ".proj_attn."}};
  if (name.find("attentions.0.") == std::string::npos) return "";
  for (const auto& [now, before] : renamed)
    if (const std::size_t at = name.find(now); at != std::string::npos) return name.replace(at, now.size(), before);
  return "";
}

}  // namespace

std::vector<ExpectedTensor> autoencoder_tensors(const AutoencoderKlConfig& c) {
  Writer w;
  const std::size_t stages = c.channels.size();
  w.conv("encoder.conv_in", c.channels.front(), 3, 3);
  for (std::size_t i = 0; i < stages; ++i) {
    const std::string p = "encoder.down_blocks." + std::to_string(i) + ".";
    const std::int64_t width = c.channels[i], before = i == 0 ? width : c.channels[i - 1];
    for (std::int64_t j = 0; j < c.layers; ++j)
      w.kl_residual(p + "resnets." + std::to_string(j) + ".", j == 0 ? before : width, width);
    if (i + 1 < stages) w.conv(p + "downsamplers.0.conv", width, width, 3);
  }
  const std::int64_t widest = c.channels.back();
  w.kl_middle("encoder.mid_block.", widest, c.mid_attention);
  w.norm("encoder.conv_norm_out", widest);
  w.conv("encoder.conv_out", 2 * c.latent_channels, widest, 3);
  if (c.quant_conv) w.conv("quant_conv", 2 * c.latent_channels, 2 * c.latent_channels, 1);

  if (c.post_quant_conv) w.conv("post_quant_conv", c.latent_channels, c.latent_channels, 1);
  w.conv("decoder.conv_in", widest, c.latent_channels, 3);
  w.kl_middle("decoder.mid_block.", widest, c.mid_attention);
  for (std::size_t i = 0; i < stages; ++i) {
    const std::string p = "decoder.up_blocks." + std::to_string(i) + ".";
    const std::int64_t width = c.channels[stages - 1 - i], before = i == 0 ? width : c.channels[stages - i];
    for (std::int64_t j = 0; j <= c.layers; ++j)
      w.kl_residual(p + "resnets." + std::to_string(j) + ".", j == 0 ? before : width, width);
    if (i + 1 < stages) w.conv(p + "upsamplers.0.conv", width, width, 3);
  }
  w.norm("decoder.conv_norm_out", c.channels.front());
  w.conv("decoder.conv_out", 3, c.channels.front(), 3);
  return w.take();
}

std::vector<ExpectedTensor> autoencoder_tensors(const AutoencoderDcConfig& c) {
  Writer w;
  const std::size_t stages = c.encoder.size();
  w.conv("encoder.conv_in", c.encoder.front().channels, 3, 3);
  for (std::size_t i = 0; i < stages; ++i) {
    const std::string p = "encoder.down_blocks." + std::to_string(i) + ".";
    for (std::int64_t j = 0; j < c.encoder[i].layers; ++j)
      w.dc_block(p + std::to_string(j) + ".", c.encoder[i], c.head_dim);
    if (i + 1 == stages) break;
    w.conv(p + std::to_string(c.encoder[i].layers) + ".conv", c.encoder[i + 1].channels / (c.unshuffle ? 4 : 1),
           c.encoder[i].channels, 3);
  }
  w.conv("encoder.conv_out", c.latent_channels, c.encoder.back().channels, 3);

  w.conv("decoder.conv_in", c.decoder.back().channels, c.latent_channels, 3);
  for (std::size_t i = 0; i < stages; ++i) {
    const std::string p = "decoder.up_blocks." + std::to_string(i) + ".";
    const bool doubles = i + 1 < stages;
    if (doubles) w.conv(p + "0.conv", c.decoder[i].channels * (c.interpolate ? 1 : 4), c.decoder[i + 1].channels, 3);
    for (std::int64_t j = 0; j < c.decoder[i].layers; ++j)
      w.dc_block(p + std::to_string(j + doubles) + ".", c.decoder[i], c.head_dim);
  }
  w.norm("decoder.norm_out", c.decoder.front().channels);
  w.conv("decoder.conv_out", 3, c.decoder.front().channels, 3);
  return w.take();
}

std::map<std::string, TensorInfo> find_autoencoder_tensors(const Checkpoint& checkpoint,
                                                           const std::vector<ExpectedTensor>& expected) {
  std::map<std::string, TensorInfo> out;
  std::set<std::string> taken;
  std::vector<std::string> faults;
  for (const ExpectedTensor& want : expected) {
    const TensorInfo* tensor = checkpoint.find(want.name);
    if (const std::string older = older_name(want.name); !tensor && !older.empty()) tensor = checkpoint.find(older);
    if (!tensor) {
      faults.push_back("missing tensor " + want.name + " " + shape_text(want.shape));
      continue;
    }
    taken.insert(tensor->name);
    std::vector<std::int64_t> shape = tensor->shape;
    // Attention was once made of 1 x 1 convolutions.
    if (want.shape.size() == 2 && shape.size() == 4 && shape[2] == 1 && shape[3] == 1) shape.resize(2);
    if (shape != want.shape) {
      faults.push_back(tensor->name + " has shape " + shape_text(tensor->shape) + ", expected " +
                       shape_text(want.shape));
      continue;
    }
    if (const std::string fault = fault_of_values(*tensor); !fault.empty()) {
      faults.push_back(std::string(tensor->name).append(" ").append(fault));
      continue;
    }
    TensorInfo& found = out.emplace(want.name, *tensor).first->second;
    found.shape = want.shape;
  }
  for (const TensorInfo& tensor : checkpoint.tensors()) {
    const bool part = tensor.name.rfind("encoder.", 0) == 0 || tensor.name.rfind("decoder.", 0) == 0 ||
                      tensor.name.find("quant_conv.") != std::string::npos;
    if (part && !taken.count(tensor.name))
      faults.push_back("unexpected tensor " + tensor.name + " " + shape_text(tensor.shape));
  }
  if (faults.empty()) return out;
  constexpr std::size_t listed = 8;
  std::vector<std::string> lines(faults.begin(),
                                 faults.begin() + static_cast<std::ptrdiff_t>(std::min(listed, faults.size())));
  if (faults.size() > listed) lines.push_back("and " + std::to_string(faults.size() - listed) + " more");
  throw DataError(checkpoint.path() + ": the tensors do not fit the autoencoder's configuration: " + join(lines, "; "));
}

}  // namespace stamp
