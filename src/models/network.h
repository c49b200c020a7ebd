// A loaded model as the runner, the methods and the quantizers see it: work items in, named outputs out, slots in
// between. Nothing here knows what a decoder is. Specification models 3, 16; methods 2.8, 12.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/matrix.h"
#include "config/spec.h"
#include "models/info/slot_info.h"
#include "quant/sequence_quantizer.h"
#include "transforms/feature_transform.h"

namespace stamp {

// How a slot quantizes: owned by the engine's wiring, shared by slots with equal settings except `statistics`.
struct SlotQuantizer {
  std::shared_ptr<const SequenceTransform> transform;  // covers s tokens, skip_first included
  RowBits bits;
  ActivationGrid grid;
  SlotStatistics* statistics = nullptr;     // borrowed, may be null
  QuantizerWorkspace* workspace = nullptr;  // borrowed
};

// Sees the activation of a slot as the quantizer would (after the online feature transform). Calibration.
using SlotObserver = std::function<void(const SlotInfo&, ConstMatrixView activation)>;

class Slot {
 public:
  explicit Slot(SlotInfo info) : info_(std::move(info)) {}
  virtual ~Slot() = default;
  const SlotInfo& info() const { return info_; }
  void set_quantizer(std::shared_ptr<const SlotQuantizer> q) { quantizer_ = std::move(q); }  // null = full precision
  void set_observer(SlotObserver o) { observer_ = std::move(o); }

 protected:
  // Observes, then quantizes x (s x d, contiguous float32) in place.
  void pass(MatrixView x);
  SlotInfo info_;
  std::shared_ptr<const SlotQuantizer> quantizer_;
  SlotObserver observer_;
};

struct LinearWeight {
  std::string name;   // "layers.3.mlp.down_proj"
  at::Tensor weight;  // m x d float32, contiguous; undefined once packed
  at::Tensor bias;    // m, may be undefined
};

// One activation slot and the linear layers that read it (q, k, v share one).
class LinearSite : public Slot {
 public:
  using Slot::Slot;
  std::vector<LinearWeight>& weights() { return weights_; }
  // The norm weight (d) that makes this input, null where a per-channel scale cannot be folded before the slot.
  at::Tensor* input_scale = nullptr;
  // Right transform applied to the activation at run time, before the slot's quantizer; null = none.
  void set_online(std::shared_ptr<const FeatureTransform> r) { online_ = std::move(r); }
  const FeatureTransform* online() const { return online_.get(); }
  // Moves the weights into the GEMM library's own layout and frees the plain ones. Idempotent.
  void pack();
  // x: s x d. One output s x m per weight. Consumes x when it is the only owner.
  std::vector<at::Tensor> forward(at::Tensor x);

 private:
  std::vector<LinearWeight> weights_;
  std::vector<at::Tensor> packed_;
  std::shared_ptr<const FeatureTransform> online_;
};

// The K or V cache of one layer. Applies the head rotation, then observes and quantizes.
class CacheSite : public Slot {
 public:
  using Slot::Slot;
  void set_head_rotation(std::shared_ptr<const FeatureTransform> r) { rotation_ = std::move(r); }
  const FeatureTransform* head_rotation() const { return rotation_.get(); }
  // k: s x (nkv * hd) contiguous, changed in place (rotated per head, quantized with group = hd or whole row).
  void process(at::Tensor& k);
  void rotate(at::Tensor& q) const;  // the queries that meet this cache: s x (nh * hd), in place

 private:
  std::shared_ptr<const FeatureTransform> rotation_;
};

// What a rotation method needs of a network whose residual stream may be rotated (decoders with RMSNorm).
// Everything is offline and exact: the function does not change. Specification methods 6.1, 6.2.
class ResidualRotation {
 public:
  virtual ~ResidualRotation() = default;
  virtual std::int64_t width() const = 0;
  virtual void fold_norms() = 0;  // gamma into the following weights; unties the head
  // Embedding, readers and writers of the residual stream, head. Kept by the network, which rotates gathered rows with
  // it.
  virtual void rotate(std::shared_ptr<const FeatureTransform> q) = 0;
  struct AttentionBlock {
    LinearSite* qkv;     // weights()[0..2] = q, k, v
    LinearSite* output;  // weights()[0] = o
    LinearSite* gate_up;
    LinearSite* down;
    CacheSite* key;
    CacheSite* value;
    std::int64_t heads, kv_heads, head_dim;
  };
  virtual std::vector<AttentionBlock> blocks() = 0;
};

struct WorkItem {
  std::int64_t index = 0;
  std::map<std::string, at::Tensor> inputs;  // "ids": int64 (tokens); images later: "latent", "text", ...
};
struct Outputs {
  std::map<std::string, at::Tensor> named;  // "token_nll": float32 (tokens - 1), nats
};

class Network {
 public:
  virtual ~Network() = default;
  virtual std::vector<LinearSite*> linear_sites() = 0;
  virtual std::vector<CacheSite*> cache_sites() = 0;
  virtual ResidualRotation* residual_rotation() { return nullptr; }
  virtual void pack() = 0;  // after the last change of a weight, before the first run (running unpacked is allowed)
  virtual Outputs run(const WorkItem& item) = 0;
};

// Work items of one data specification: token windows, later prompts and noise.
class Workload {
 public:
  virtual ~Workload() = default;
  virtual std::int64_t count() const = 0;
  virtual WorkItem item(std::int64_t i) const = 0;
  virtual std::int64_t tokens_per_item() const = 0;
  virtual Json description() const = 0;      // name, digest, tokens, context, windows, tokenizer digest
  virtual std::string protocol() const = 0;  // one line that tables compare
};

// A checkpoint opened once; networks are built from it as often as weights have to be fresh.
class Model {
 public:
  virtual ~Model() = default;
  virtual Json description() const = 0;  // name, digest, architecture, parameters, types of the stored tensors
  virtual std::unique_ptr<Network> build() const = 0;
  virtual std::unique_ptr<Workload> workload(const DataSpec& data) const = 0;
  virtual std::unique_ptr<Workload> workload(const CalibrationSpec& data) const = 0;
};
std::unique_ptr<Model> open_model(const ModelSpec& spec);  // DataError; models/register.cpp lists architectures

// LibTorch's product for kernels that take a Gemm, and views of tensors.
void torch_gemm(ConstMatrixView a, ConstMatrixView b, bool transpose_b, MatrixView c);
MatrixView view(at::Tensor& tensor);  // 2-D contiguous float32
ConstMatrixView const_view(const at::Tensor& tensor);

}  // namespace stamp
