// Hyper-parameters, tensors and slots of the diffusion transformers that diffusers stores: DiT, PixArt and SANA.
// No LibTorch. Specification models 10, 11, 12, 16.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "formats/checkpoint.h"
#include "models/info/expected_tensor.h"
#include "models/info/slot_info.h"

namespace stamp {

enum class DiffusionKind { dit, pixart, sana };

struct DiffusionConfig {
  DiffusionKind kind = DiffusionKind::dit;
  std::string architecture;         // the class: "PixArtTransformer2DModel"
  std::int64_t heads = 0;           // of self-attention (linear attention in SANA)
  std::int64_t head_dim = 0;        // heads * head_dim = D, the width of the residual stream
  std::int64_t in_channels = 0;     // of the latent
  std::int64_t out_channels = 0;    // of the output; more than in_channels where the variance is learned as well
  std::int64_t layers = 0;          // blocks
  std::int64_t sample_size = 0;     // side of the latent the model was trained for; others are allowed
  std::int64_t patch_size = 1;      // latent pixels a token has on a side
  double norm_eps = 1e-6;           // of the norms before self-attention and feed-forward, as far as the config has it
  bool attention_bias = true;       // of q, k, v; SANA: of its self-attention alone
  std::optional<double> positions;  // scale of the sin-cos position table; empty: the model has no such table
  std::int64_t classes = 0;         // DiT: the table has one row more, the null class
  std::int64_t caption_channels = 0;  // PixArt, SANA: width of the text encoder
  std::int64_t cross_heads = 0;       // PixArt, SANA
  std::int64_t cross_head_dim = 0;
  std::int64_t feed_forward = 0;  // width that the second linear layer of the feed-forward part reads
  bool micro_conditions = false;  // PixArt: resolution and aspect ratio are inputs
  bool qk_norm = false;           // SANA: RMS norm of q and k over all heads together
  bool guidance = false;          // SANA-Sprint: the guidance scale is an input
  double guidance_scale = 0.1;    // what a pipeline multiplies that input with
  double timestep_scale = 1;      // what a pipeline multiplies the timestep with

  std::int64_t width() const { return heads * head_dim; }  // D
  std::int64_t cross_width() const { return cross_heads * cross_head_dim; }
  bool has_text() const { return kind != DiffusionKind::dit; }
};

// The class names that can be read, as in _class_name of config.json.
const std::vector<std::string>& diffusion_architectures();
bool is_diffusion_architecture(const std::string& name);

// `config`: transformer/config.json; `place` begins every message ("folder/config.json: "). Fields that are absent have
// diffusers' class defaults. DataError for an unknown field, and for a value that is not supported.
DiffusionConfig read_diffusion_config(const Json& config, const std::string& architecture, const std::string& place);

std::vector<ExpectedTensor> diffusion_tensors(const DiffusionConfig& config);

// One DataError lists what is missing, unexpected or of another shape. Returns the names of tensors that carry nothing
// for the network: buffers, and inputs and results ("in.", "out.") stored beside a small checkpoint.
std::vector<std::string> check_diffusion_tensors(const Checkpoint& checkpoint, const DiffusionConfig& config);

// Slots of one block, in the order in which a pass meets them, and of all blocks. Named after the first weight that
// reads them: "transformer_blocks.3.attn1.to_q.input". Grid slots hold the image's tokens, context slots those of the
// text.
std::vector<SlotInfo> diffusion_block_slots(const DiffusionConfig& config, std::int64_t block);
std::vector<SlotInfo> diffusion_slots(const DiffusionConfig& config);
// What is quantized unless somebody asks for more: everything but the keys and values of the text (models 16).
bool quantized_by_default(const SlotInfo& slot);

}  // namespace stamp
