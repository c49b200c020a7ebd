// ImageReward: its folder, its sizes and whether its tensors fit them. J. Xu et al. 2023, arXiv 2304.05977; the names
// and the network are those of the image-reward package 1.5.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "formats/checkpoint.h"

namespace stamp {

inline constexpr char kBlipVision[] = "blip.visual_encoder.", kBlipText[] = "blip.text_encoder.";
// The head's layers are numbered in the sequence that they formed with the dropouts of training.
inline constexpr const char* kRewardHead[] = {"mlp.layers.0", "mlp.layers.2", "mlp.layers.4", "mlp.layers.6",
                                              "mlp.layers.7"};

// What scripts/image_reward_weights.py puts into a folder.
struct ImageRewardFiles {
  std::shared_ptr<const Checkpoint> weights;  // model.safetensors: the tensors of ImageReward.pt under their names
  Json config;                                // of the text encoder: med_config.json, else config.json
  std::string config_path, vocabulary_path;   // the latter: vocab.txt of bert-base-uncased
  std::string digest() const;                 // SHA-256 over the digests of the three files
};
// DataError says which file is missing or damaged, and what makes it.
ImageRewardFiles open_image_reward(const std::string& folder);

struct ImageRewardConfig {
  struct Vision {  // ViT; the published one: 1024 wide, 24 layers, 16 heads, patches of 16 in 224 pixels
    std::int64_t width = 0, layers = 0, heads = 0, feed_forward = 0, image_side = 0, patch = 0;
    static constexpr double eps = 1e-6;
    std::int64_t tokens() const { return (image_side / patch) * (image_side / patch) + 1; }
  };
  struct Text {  // BERT with cross attention; the published one: bert-base
    std::int64_t width = 0, layers = 0, heads = 0, feed_forward = 0, vocabulary = 0, positions = 0;
    double eps = 1e-12;
  };
  Vision vision;
  Text text;
  std::vector<std::int64_t> head;  // widths of the layers of the head: 768, 1024, 128, 64, 16, 1
};
// The text encoder's sizes stand in the configuration, all others come from the tensors. Only the vision encoder's
// heads show in neither: they are 64 wide, as every ViT of BLIP has them, unless vision_config.num_attention_heads says
// how many. encoder_width is not looked at: ImageReward too replaces it by the width of its vision encoder. DataError:
// missing or impossible values, another activation, no cross attention; a tensor that is missing or has another number
// of dimensions. Shapes are held to the sizes when ImageRewardModel loads the tensors.
ImageRewardConfig read_image_reward_config(const ImageRewardFiles& files);

}  // namespace stamp
