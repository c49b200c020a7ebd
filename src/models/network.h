// A loaded model as the runner, the methods and the quantizers see it: work items in, named outputs out, slots in
// between. Nothing here knows what a decoder is. Specification models 3, 16; methods 2.8, 12.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/matrix.h"
#include "config/spec.h"
#include "models/info/slot_info.h"
#include "models/kv_cache.h"
#include "quant/sequence_quantizer.h"
#include "transforms/feature_transform.h"

namespace stamp {

// Rows that enter a network together: a whole sequence, or the continuation of one.
struct Segment {
  std::int64_t rows = 0;
  std::int64_t position = 0;  // of its first row, for RoPE and windows
  std::int64_t parent = -1;   // an earlier segment, whose rows its own ones see; -1 = none
  bool transformed = true;    // false: the decode rule, L = I and low bits (methods 2.8, 2.11)
  std::int64_t width = 0;     // of the grid that the rows fill line by line; 0 = a plain sequence
};
using Segments = std::vector<Segment>;
Segments whole_sequence(std::int64_t rows);

// Transform and bits of the rows of one sequence.
struct RowRule {
  std::shared_ptr<const SequenceTransform> transform;  // covers all tokens, skip_first included
  RowBits bits;
};
// The rules of one slot, by the number of tokens and the width of their grid (Segment::width; 0 = a plain sequence):
// made when such rows first come, kept for the next time.
class RowRules {
 public:
  using Make = std::function<RowRule(std::int64_t tokens, std::int64_t width)>;  // TrialError where there is no rule
  explicit RowRules(Make make) : make_(std::move(make)) {}
  const RowRule& of(std::int64_t tokens, std::int64_t width = 0);

 private:
  Make make_;
  std::map<std::pair<std::int64_t, std::int64_t>, RowRule> made_;
};

// Bits of the values that slots of one kind quantized, for their average over passes of sequences of any length.
struct QuantizedBits {
  double bits = 0, values = 0;
  void add(const RowRule& rule, std::int64_t rows, std::int64_t features);
};

// How a slot quantizes: owned by the engine's wiring, shared by slots with equal settings except `statistics`.
struct SlotQuantizer {
  std::shared_ptr<RowRules> whole;   // of segments that are transformed
  std::shared_ptr<RowRules> decode;  // of the others; may be null where none come
  ActivationGrid grid;
  SlotStatistics* statistics = nullptr;     // borrowed, may be null
  QuantizerWorkspace* workspace = nullptr;  // borrowed
  QuantizedBits* quantized = nullptr;       // borrowed, may be null: counts what passes
};

// What a method has learned about the ranges of a slot: factors on their ends, for rows of at most `bits` bits.
// Specification methods 8.2, 2.9.
struct LearnedRange {
  double low = 1, high = 1;
  double bits = 0;  // none
};

// Sees the activation of a slot as the quantizer would (after the online feature transform). Calibration.
using SlotObserver = std::function<void(const SlotInfo&, ConstMatrixView activation)>;

class Slot {
 public:
  explicit Slot(SlotInfo info) : info_(std::move(info)) {}
  virtual ~Slot() = default;
  const SlotInfo& info() const { return info_; }
  void set_quantizer(std::shared_ptr<const SlotQuantizer> q) { quantizer_ = std::move(q); }  // null = full precision
  const std::shared_ptr<const SlotQuantizer>& quantizer() const { return quantizer_; }
  void set_observer(SlotObserver o) { observer_ = std::move(o); }
  // For whoever makes the slot's quantizer; nothing happens here.
  void set_learned_range(const LearnedRange& r) { learned_ = r; }
  const LearnedRange& learned_range() const { return learned_; }

 protected:
  // Observes, then quantizes x (contiguous float32, the rows of all segments) in place, every segment on its own.
  void pass(MatrixView x, const Segments& segments);
  SlotInfo info_;
  std::shared_ptr<const SlotQuantizer> quantizer_;
  SlotObserver observer_;
  LearnedRange learned_;
};

struct LinearWeight {
  std::string name;   // "layers.3.mlp.down_proj"
  at::Tensor weight;  // m x d float32, contiguous; undefined once packed
  at::Tensor bias;    // m, may be undefined
};

// A part of a site's layers that stays in high precision: with x as LinearSite::input() gives it, not quantized,
// output i gains (x down^T) up[i]^T. Specification methods 9.1.
struct LowRankBranch {
  at::Tensor down;             // r x d, shared by the layers
  std::vector<at::Tensor> up;  // m x r, one for every layer of the site, in their order
};

// What is taken off every row of a site's input before the observer and the quantizer and given back behind them, in
// full precision: a vector, or the mean over the rows of every transformed segment.
struct InputShift {
  std::shared_ptr<const std::vector<float>> fixed;  // d values; null: the mean
  std::int64_t skip = 0;                            // first rows of a segment that the mean leaves out
};

// One activation slot and the linear layers that read it (q, k, v share one).
class LinearSite : public Slot {
 public:
  using Slot::Slot;
  std::vector<LinearWeight>& weights() { return weights_; }
  // The norm weight (d) that makes this input, null where a per-channel scale cannot be folded before the slot.
  at::Tensor* input_scale = nullptr;
  // Makes whatever produces this input deliver x_j / factors[j] (d positive factors) from now on, and returns true; or
  // changes nothing and returns false, then the caller divides online. The caller multiplies the weights' columns.
  // This one divides *input_scale. A modulated norm x (1 + scale(t)) + shift(t) divides both 1 + scale and shift.
  virtual bool fold_input_scale(std::span<const double> factors);
  // Right transform applied to the activation at run time, before the slot's quantizer; null = none.
  void set_online(std::shared_ptr<const FeatureTransform> r) { online_ = std::move(r); }
  const FeatureTransform* online() const { return online_.get(); }
  // Null = none. release() drops it: it belongs to the changed weights. std::logic_error where its shapes are not those
  // of the weights, which are plain.
  void set_low_rank(std::shared_ptr<const LowRankBranch> branch);
  const LowRankBranch* low_rank() const { return low_rank_.get(); }
  // A method's: the mean over all rows is taken off (specification methods 11).
  void set_centred(bool centred) { centred_ = centred; }
  bool centred() const { return centred_; }
  // A trial's, where the method has not centred the site.
  void set_shift(std::optional<InputShift> shift) { shift_ = std::move(shift); }
  // Moves the weights into the GEMM library's own layout and frees the plain ones. Idempotent.
  void pack();
  bool packed() const { return !packed_.empty(); }
  // Frees the weights in either layout; names stay. A loader fills them again.
  void release();
  // What the weights read in full precision: x after the online transform (s x d). Consumes x when it is its only
  // owner, otherwise copies.
  at::Tensor input(at::Tensor x) const;
  // x: s x d, rows of all segments. One output s x m per weight. Consumes x when it is the only owner.
  std::vector<at::Tensor> forward(at::Tensor x, const Segments& segments);
  // forward() without online transform, observer and quantizer: x as input() gives it.
  std::vector<at::Tensor> multiply(const at::Tensor& x) const;

 private:
  std::vector<at::Tensor> multiply(const at::Tensor& x, const at::Tensor& branch_rows) const;
  void pass_shifted(MatrixView x, const Segments& segments, const InputShift& shift);
  at::Tensor branch_rows(const at::Tensor& x) const;  // x down^T; undefined without a branch
  std::shared_ptr<const LowRankBranch> low_rank_;
  bool centred_ = false;
  std::optional<InputShift> shift_;
  std::vector<LinearWeight> weights_;
  std::vector<at::Tensor> packed_;
  std::shared_ptr<const FeatureTransform> online_;
};

// The K or V cache of one layer. Applies the head rotation, then observes and quantizes.
class CacheSite : public Slot {
 public:
  using Slot::Slot;
  // k -> k R on every head, and on the queries that meet it R itself, or `query` where R is not orthonormal: q R^-T.
  void set_head_rotation(std::shared_ptr<const FeatureTransform> r,
                         std::shared_ptr<const FeatureTransform> query = {}) {
    query_rotation_ = query ? std::move(query) : r;
    rotation_ = std::move(r);
  }
  const FeatureTransform* head_rotation() const { return rotation_.get(); }
  // k: s x (nkv * hd) contiguous, changed in place (rotated per head, quantized with group = hd or whole row).
  void process(at::Tensor& k, const Segments& segments);
  void rotate_keys(at::Tensor& k) const;  // the first half of process() alone
  void rotate(at::Tensor& q) const;       // the queries that meet this cache: s x (nh * hd), in place

 private:
  std::shared_ptr<const FeatureTransform> rotation_, query_rotation_;
};

class WeightRotation;

// What a rotation method needs of a network whose residual stream may be rotated (decoders with RMSNorm).
// Exact: the function does not change. Offline, except that branches with a norm behind them are rotated behind it,
// online. Blocks change one at a time, so that a model larger than memory can be walked through; the ends (embedding,
// final norm, head) change at once. Specification methods 6.1, 6.2.
class ResidualRotation {
 public:
  virtual ~ResidualRotation() = default;
  virtual std::int64_t width() const = 0;
  virtual void fold_norms(std::size_t block) = 0;  // gamma into the weights that read the norm; weights plain
  virtual void fold_final_norm() = 0;              // into the head, which becomes a tensor of its own
  // Readers and writers of the residual stream in one block.
  virtual void rotate(std::size_t block, const WeightRotation& q) = 0;
  // Embedding rows as they are gathered, and the head. Kept by the network.
  virtual void rotate_ends(std::shared_ptr<const FeatureTransform> q) = 0;
  struct AttentionBlock {
    LinearSite* qkv;     // weights()[0..2] = q, k, v
    LinearSite* output;  // weights()[0] = o
    LinearSite* gate_up;
    LinearSite* down;
    CacheSite* key;
    CacheSite* value;
    std::int64_t heads, kv_heads, head_dim;
  };
  virtual AttentionBlock attention(std::size_t block) = 0;
};

struct WorkItem {
  std::int64_t index = 0;
  std::map<std::string, at::Tensor> inputs;  // "ids": int64 (tokens); of images "latent", ...
  Segments segments;                         // of the rows; empty = one sequence of all of them
  KvCache* cache = nullptr;  // borrowed; holds what came before the item's only segment, and takes its rows
};
struct Outputs {
  // "token_nll": float32 (tokens - 1), nats. For an item with "targets", int64 (m x 2), rows and the ids they should
  // predict: "target_logprob", float32 (m), and "target_greedy", int64 (m), 1 where the id is the likeliest.
  std::map<std::string, at::Tensor> named;
};

// Many items that leave a network together.
struct Leaving {
  std::int64_t count = 0;
  std::function<WorkItem(std::int64_t i)> item;
  std::function<at::Tensor(std::int64_t i)> rows;  // behind the last block; may be changed in place
  std::function<void(std::int64_t i)> rest;        // rows of item i are not needed for a while
  std::function<void(const WorkItem&, Outputs)> take;
};

// Between two linear sites of a block.
struct BlockState {
  at::Tensor residual;      // s x h
  at::Tensor pending = {};  // what the next site's input() takes; undefined before the first step and after the last
  std::vector<at::Tensor> held = {};  // what a later step of the same block needs besides; empty after the last
};

// A stack of blocks, walked one at a time by sequential calibration, block-wise training and streamed evaluation.
class Network {
 public:
  virtual ~Network() = default;
  virtual std::vector<LinearSite*> linear_sites() = 0;
  virtual std::vector<CacheSite*> cache_sites() = 0;
  virtual ResidualRotation* residual_rotation() { return nullptr; }

  virtual std::size_t blocks() const = 0;
  virtual std::vector<LinearSite*> block_sites(std::size_t block) = 0;  // in the order in which they run
  // Weights of a block from the checkpoint, plain; sites, slots and quantizers stay when they go. load() of a block
  // that is there does nothing; a block that was changed and released comes back unchanged.
  virtual void load(std::size_t block) = 0;
  virtual void release(std::size_t block) = 0;
  virtual void pack(std::size_t block) = 0;  // after the last change of its weights; running unpacked is allowed
  virtual void pack_ends() = 0;              // what lies outside the blocks

  virtual at::Tensor enter(const WorkItem& item) = 0;  // rows before block 0, s x h
  // Step k of a block: runs site k - 1 on `pending` and makes what site k reads; step 0 starts from `residual`, the
  // last (k = number of sites) leaves the block's output there.
  virtual void step(std::size_t block, std::size_t k, BlockState& state, const WorkItem& item) = 0;
  virtual Outputs leave(at::Tensor rows, const WorkItem& item) = 0;  // final norm, head, losses
  // leave() of every item, in order and to the bit. Where a head is read from the checkpoint in pieces, every piece is
  // read once for all items.
  virtual void leave_all(const Leaving& leaving);

  void forward(std::size_t block, at::Tensor& rows, const WorkItem& item);  // all steps, in place
  Outputs run(const WorkItem& item);                                        // all blocks
  void pack();                                                              // all of it
};

// Work items of one data specification: token windows, questions, denoising steps, images.
class Workload {
 public:
  virtual ~Workload() = default;
  virtual std::int64_t count() const = 0;
  virtual WorkItem item(std::int64_t i) const = 0;
  // One run of the network for an item. Of an item that takes several (an image takes two or three dozen steps),
  // run() does them all, and single_run() says so: then a network cannot be walked block by block.
  virtual Outputs run(Network& network, const WorkItem& item) const { return network.run(item); }
  virtual bool single_run() const { return true; }
  virtual std::int64_t tokens_per_item() const = 0;
  virtual std::int64_t grid_width() const { return 0; }  // of the grid that they fill; 0 = plain sequences
  virtual Json description() const = 0;                  // name, digest, tokens, context, windows, tokenizer digest
  virtual std::string protocol() const = 0;              // one line that tables compare
};

class Tokenizer;

// A checkpoint opened once; networks are built from it as often as weights have to be fresh.
class Model {
 public:
  virtual ~Model() = default;
  virtual Json description() const = 0;  // name, digest, architecture, parameters, types of the stored tensors
  virtual std::unique_ptr<Network> build(bool load_blocks = true) const = 0;  // false: load() brings the blocks
  virtual std::unique_ptr<Workload> workload(const DataSpec& data) const = 0;
  virtual std::unique_ptr<Workload> workload(const CalibrationSpec& data) const = 0;
  virtual const Tokenizer* tokenizer() const { return nullptr; }       // of models of text
  virtual std::vector<std::int64_t> end_tokens() const { return {}; }  // ids that end a generated text
  // Denoising steps along the way of the full-precision model to the trial's images, a GeneratedWorkload; with
  // `calibration`, to images of their own. TrialError ("unsupported") where a model makes none.
  virtual std::shared_ptr<Workload> images(const ImageSpec& spec, const CalibrationSpec* calibration = nullptr) const;
  // Questions of one zero-shot task, a TaskWorkload. TrialError ("unsupported") where a model answers none.
  virtual std::unique_ptr<Workload> questions(const ZeroShotSpec& spec, const std::string& task) const;
};
std::unique_ptr<Model> open_model(const ModelSpec& spec);  // DataError; models/register.cpp lists architectures

// LibTorch's product for kernels that take a Gemm, and views of tensors.
void torch_gemm(ConstMatrixView a, ConstMatrixView b, bool transpose_b, MatrixView c);
MatrixView view(at::Tensor& tensor);  // 2-D contiguous float32
ConstMatrixView const_view(const at::Tensor& tensor);

}  // namespace stamp
