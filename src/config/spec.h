// One fully specified trial, and the experiment file that makes many. Product section 3. Fields, defaults, ranges
// and help stand once, in config/schema.cpp; reading, --set, describe, the docs, canonical text and hash follow.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "base/plugin.h"

namespace stamp {

struct ModelSpec {
  std::string path;  // GGUF file, HF or diffusers folder; absolute after reading
  std::string name;  // shown in tables; default: the file's stem
  // How to run, not what: no part of the id. One block at a time from the file; nothing: when it would not fit.
  std::optional<bool> streamed = std::nullopt;
  double rows_memory_gb = 1;  // of a streamed trial's hidden rows in memory, 10^9 bytes; the others lie on disk
};

struct DataSpec {
  std::string text = "wikitext2-test";
  std::int64_t context = 2048;  // tokens of one window
  std::int64_t windows = 0;     // 0 = all
  std::string bos = "start";    // start | each_window
};

struct CalibrationSpec {
  std::string text = "wikitext2-train";
  std::int64_t context = 2048;
  std::int64_t samples = 16;      // windows; of models of images, inputs of single denoising steps
  std::string select = "random";  // random | head: the first windows
  std::uint64_t seed = 0;
};

struct WeightSpec {
  std::string quantizer = "rtn";
  double bits = 4;
  std::string granularity = "channel";  // channel | group
  std::int64_t group_size = 128;
  bool symmetric = true;
  bool clip_search = true;
  Json options = Json::object();  // the quantizer's own
};

struct ActivationSpec {
  double bits = 4;
  std::string granularity = "token";  // token | group
  std::int64_t group_size = 64;
  bool symmetric = false;
  double clip = 1.0;
  std::string shift = "none";  // taken off every channel before quantizing: none | calibrated | sequence
  bool text = false;           // also what cross-attention makes keys and values of, without transform and high bits
};

struct CacheSpec {
  double bits = 4;
  std::string granularity = "head";  // head | token
  bool symmetric = false;
  double clip = 1.0;
  bool transformed = true;  // option A of specification methods 12.4; false = B
};

struct SequenceSpec {
  std::string transform = "haar";
  std::int64_t skip_first = 1;
  Json options = Json::object();  // the transform's own: levels, ...
};

struct AllocationSpec {
  std::string kind = "two_level";
  Json options = Json::object();  // high_bits, high_tokens, pick, average_bits, ...
};

struct QuantizationSpec {
  std::string method = "rtn";
  Json method_options = Json::object();  // written as quantization.<method>: {...}
  WeightSpec weights;
  ActivationSpec activations;
  CacheSpec kv_cache;
  SequenceSpec sequence;
  AllocationSpec allocation;
};

// Generation, and what `decode_perplexity` measures: a prompt in one run, then a token a step on a cache of packed
// chunks. Specification methods 2.8, 2.11 (D3), 12.4.
struct DecodeSpec {
  std::int64_t prefill = 1024;             // tokens of a window that are the prompt; the others are decoded
  std::int64_t chunk = 64;                 // rows of the cache that are transformed and packed together
  Json high_tokens = "s/32";               // option A: rows of a chunk at high bits; a number, or a share of the chunk
  std::string continuation = "quantized";  // quantized: decode rule (D3 a) | full: 16 bits behind the prompt (D3 b)
};

// Questions that the metric zero_shot answers. Specification methods 13.2, 13.3.
struct ZeroShotSpec {
  std::vector<std::string> tasks{"piqa", "hellaswag", "arc_easy", "arc_challenge", "winogrande", "lambada"};
  std::int64_t items = 0;          // the first so many of every task; 0 = all
  std::string data = "auto";       // folder or file of the user's own; auto: the known folders
  std::string bos = "none";        // none | auto: what the tokenizer does by default | start
  std::string rule = "leak_free";  // leak_free: contexts are transformed, continuations are not | prefill: both
  std::int64_t batch_rows = 2048;  // rows that go through the network together
};

// Images that a diffusion model makes. Specification methods 13.4, 13.5; models 15. Nothing: the pipeline's default.
struct ImageSpec {
  std::string prompts = "auto";  // file with a prompt a line; auto: every class in turn, or the shipped prompts
  std::int64_t count = 16;       // images, the first so many prompts or classes, from the start again when they end
  std::int64_t traced = 4;       // of the first so many every denoising step is a work item of its own
  std::optional<std::int64_t> steps = std::nullopt;
  std::optional<double> guidance = std::nullopt;                            // 1 and below: none
  std::optional<std::int64_t> height = std::nullopt, width = std::nullopt;  // pixels
  std::string negative_prompt;
  std::uint64_t seed = 0;
  std::int64_t saved = 4;             // of the first so many a PNG file is kept; no part of the id
  std::string classifier = "auto";    // folder; auto: "classifier" beside the denoiser
  std::string clip = "auto";          // folder of a CLIP model; auto: $STAMP_CLIP
  std::string lpips = "auto";         // folder of LPIPS' network; auto: $STAMP_LPIPS
  std::string image_reward = "auto";  // folder of an ImageReward model; auto: $STAMP_IMAGE_REWARD
};

struct TrialSpec {
  std::int64_t schema = 1;
  ModelSpec model;
  DataSpec data;
  CalibrationSpec calibration;
  QuantizationSpec quantization;
  ZeroShotSpec zero_shot;
  DecodeSpec decode;
  ImageSpec images;
  std::vector<std::string> evaluate{"perplexity", "slot_error"};
  std::int64_t repeat = 0;  // index of a repeat; seeds derive from it
};

// Complete and canonical: every field in schema order, defaults filled in, inactive plugin options dropped, settings
// that cannot matter normalised away (see docs/experiment-file.md). model.path and text paths enter as written names
// plus digests elsewhere, so that an id does not depend on where files lie: `model.name` and the text names are hashed.
Json canonical(const TrialSpec& spec, const Catalog& catalog);
std::string trial_id(const TrialSpec& spec, const Catalog& catalog);  // first 12 hex digits of SHA-256
TrialSpec trial_from_json(const Json& json, const Catalog& catalog);  // inverse of canonical (path kept beside)

}  // namespace stamp
