// Names, kinds and sizes of the points where a network quantizes. Specification methods 2.8, 12.1.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace stamp {

enum class SlotKind { linear_input, key_cache, value_cache };
const char* name_of(SlotKind kind);  // "linear input", "key cache", "value cache"

// What the rows of a slot are: tokens of a text, tokens of an image row by row on their grid, or the text tokens that
// an image attends to, whose rows are not the block's own (methods 2.8, models 16).
enum class SlotRows { sequence, grid, context };
const char* name_of(SlotRows rows);  // "sequence", "grid", "context"

struct SlotInfo {
  std::string name;  // "layers.3.mlp.down_proj.input", "layers.3.attention.key_cache"
  SlotKind kind = SlotKind::linear_input;
  std::int64_t features = 0;  // d (nkv * hd for caches)
  std::int64_t heads = 1;     // KV heads for caches
  int layer = 0;
  std::vector<std::string> linears = {};  // names of the weights that read it
  SlotRows rows = SlotRows::sequence;
};

}  // namespace stamp
