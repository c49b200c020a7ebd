// Configurations of the image autoencoders that diffusers publishes, and the tensors their checkpoints have to hold.
// Specification models 13.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "formats/checkpoint.h"
#include "models/info/expected_tensor.h"

namespace stamp {

// AutoencoderKL: convolutions, one attention in the middle. Specification models 13.1.
struct AutoencoderKlConfig {
  std::vector<std::int64_t> channels;  // per stage, from the image down; as many halvings as steps between them
  std::int64_t layers = 1;             // residual blocks of an encoder stage; the decoder's have one more
  std::int64_t latent_channels = 4;
  std::int64_t groups = 32;  // of the group norms, eps 1e-6
  double scaling_factor = 0.18215, shift = 0;
  bool quant_conv = true, post_quant_conv = true, mid_attention = true;
};

struct DcStage {
  std::int64_t channels = 0, layers = 0;
  bool attention = false;             // EfficientViTBlock, else ResBlock
  std::vector<std::int64_t> kernels;  // of the extra scales of q, k, v; odd
};
// AutoencoderDC (DC-AE): shortcuts around every change of resolution, linear attention. Specification models 13.2.
struct AutoencoderDcConfig {
  std::int64_t latent_channels = 32, head_dim = 32;
  std::vector<DcStage> encoder, decoder;  // from the image down, as many of each
  bool unshuffle = true;                  // encoder halves by pixel_unshuffle, else by a convolution of stride 2
  bool interpolate = false;               // decoder doubles by repeating pixels, else by pixel_shuffle
  bool encoder_out_shortcut = true, decoder_in_shortcut = true;
  double scaling_factor = 1;
};

// `config`: config.json, whose class defaults hold for missing fields. `place`: names the file in messages. DataError
// names a field that is unknown, impossible or not supported here.
AutoencoderKlConfig read_autoencoder_kl(const Json& config, const std::string& place);
AutoencoderDcConfig read_autoencoder_dc(const Json& config, const std::string& place);

std::vector<ExpectedTensor> autoencoder_tensors(const AutoencoderKlConfig& config);
std::vector<ExpectedTensor> autoencoder_tensors(const AutoencoderDcConfig& config);

// By expected name and with the expected shape. Attention under its older names (query, key, value, proj_attn, possibly
// as 1 x 1 convolutions; models 1.2) is found too. One DataError lists what is missing, unexpected or of another shape.
std::map<std::string, TensorInfo> find_autoencoder_tensors(const Checkpoint& checkpoint,
                                                           const std::vector<ExpectedTensor>& expected);

}  // namespace stamp
