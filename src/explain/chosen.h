// Transforms that slots have of their own: what a trial may choose from, and what its record says was chosen.
#pragma once
#include <string>
#include <vector>

#include "base/json.h"
#include "results/record.h"

namespace stamp {

// "per_slot, one of identity, haar/1 to haar/11, dct at every slot". `tokens` behind the skipped ones, `high_tokens`
// among them; a height and width of 0: no grid.
std::string choice_text(const Json& sequence, std::int64_t tokens, std::int64_t high_tokens, std::int64_t height,
                        std::int64_t width);

// Names of the slot's transforms in every layer that the record has of it. `prefix`: "layers."; `slot`: its name within
// a block.
std::vector<std::string> chosen_in_layers(const Record& record, const std::string& prefix, const std::string& slot);
// "haar/5 in 20 layers, dct in 10", the most frequent first, then by name.
std::string chosen_text(const std::vector<std::string>& names);
// Mean of left_operations() over the names; negative where one of them is not known there.
double mean_operations(const std::vector<std::string>& names, std::int64_t tokens, std::int64_t height,
                       std::int64_t width);

// "layers.0.attention.qkv_proj.input" -> "attention.qkv_proj"; "transformer_blocks.0.ff.net.2" -> "ff.net.2".
std::string within_block(std::string name);

}  // namespace stamp
