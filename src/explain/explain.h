// Where the left (sequence) and right (feature) transforms of one trial are applied or folded, slot by slot of one
// block, with their cost, bits and grids. From settings and the description of the model alone; no tensor is read.
// Specification methods 2.1, 2.8, 2.10, 5 to 12; models 10 to 12, 16.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "config/spec.h"
#include "models/info/slot_info.h"
#include "results/record.h"

namespace stamp {

enum class Placed { folded, online, none };
const char* name_of(Placed placed);  // "offline", "online", "none"

// One thing that is done to what a slot holds, or to the weights that read it.
struct Step {
  std::string what;  // "Hadamard 36 x 16, R^T folded into the weights"
  Placed placed = Placed::none;
  std::string where;      // "before the slot", "into the norm before it"
  double operations = 0;  // a token of the sequence, additions and multiplications alike; 0 when folded
};

struct ExplainedLinear {
  std::string name;  // within the block: "attention.q_proj"
  std::int64_t outputs = 0;
};

struct ExplainedSlot {
  SlotInfo info;
  std::string name;                      // within the block, without ".input": "attention.qkv_proj"
  std::vector<ExplainedLinear> linears;  // none for caches
  bool quantized = true;
  std::string why_not;      // of a slot that is not
  std::int64_t tokens = 0;  // rows of a sample; 0 = unknown (rows of the text)
  std::vector<Step> right;  // features: scales, rotations, low-rank parts
  Step left, left_back;     // along the sequence: L before the slot, L^-1 behind it
  // Where every slot has a transform of its own, of a record: "haar/5 in 20 layers, dct in 10". Costs of `left` are
  // means over the layers then.
  std::string chosen;
  double low_bits = 0, high_bits = 0;
  std::int64_t high_rows = 0;  // 0: none, or chosen row by row
  std::optional<double> average_bits;
  bool average_measured = false;  // from a record, else from the rule
  std::string allocation;         // "64 rows first, at 8 bits"
  std::string granularity;        // "one scale a token", "groups of 64 features", "one scale a head"
  std::string grid;               // "asymmetric", "symmetric, clip 0.9"
  // Per token. Of a cache: of the projection that fills it.
  double layer_operations = 0;
  double online_operations() const;  // left, back and right together
  double relative_cost() const { return layer_operations > 0 ? online_operations() / layer_operations : 0; }
  // Means over the layers, of a record.
  std::optional<double> ratio, sqnr_db;
};

struct Explanation {
  std::string trial;         // id
  std::string model;         // name
  std::string architecture;  // "llama", "PixArtTransformer2DModel"
  std::string method, transform;
  bool diffusion = false;
  std::int64_t layers = 0, tokens = 0, skip_first = 0;
  std::string left_text;             // "haar, 5 levels behind 1 skipped token"
  std::vector<std::string> network;  // what is done once, outside the blocks
  std::vector<ExplainedSlot> slots;  // of one block, in the order in which a pass meets them
  std::vector<std::string> notes;
  double layer_operations() const;   // a token: all linear layers of a block
  double online_operations() const;  // a token: everything the transforms add to a block
};

struct ExplainRequest {
  std::string trial;
  Json spec;                       // canonical, of a plan or a record
  Json description;                // of the model, as describe_model() or a record's `model` has it
  const Record* record = nullptr;  // for measured bits and errors; may be null, and may lack slots
};

// DataError: the description has no dimensions, or is of an architecture that is not known.
Explanation explain(const ExplainRequest& request);

std::string explanation_text(const Explanation& explanation);
Json explanation_json(const Explanation& explanation);
// One block with its slots and what sits where. With `alone`, a file of its own with its style inside; else an element
// for a page that has the report's style sheet.
std::string explanation_svg(const Explanation& explanation, bool alone);
// "quarot with haar on SmolLM2-135M (llama): 4.125 activation bits, 1.9% more operations".
std::string explanation_title(const Explanation& explanation);

}  // namespace stamp
