#include "methods/flatquant_fold.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/matmul.h>

#include <vector>

#include "training/fake_quantize.h"

namespace stamp {
namespace {

using training::FlatQuantBlock;
using training::FlatQuantSite;
using training::FlatQuantWeight;
using training::LearnedClip;
using training::LearnedTransform;

std::vector<double> values_of(const at::Tensor& t) {
  const at::Tensor flat = t.contiguous();
  const double* p = flat.const_data_ptr<double>();
  return {p, p + flat.numel()};
}

std::shared_ptr<const FeatureTransform> learned(const std::string& name, const at::Tensor& matrix,
                                                const at::Tensor& inverse) {
  if (!matrix.defined()) return nullptr;
  const std::int64_t n = matrix.size(0);
  return dense(name + " " + std::to_string(n), n, values_of(matrix), values_of(inverse), torch_gemm);
}

// left (x) right on rows of n; null where both are the identity.
std::shared_ptr<const FeatureTransform> online(const LearnedTransform& t, std::int64_t n) {
  if (!t.left.defined() && !t.right.defined()) return nullptr;
  const std::int64_t b = t.right.defined() ? t.right.size(0) : n / t.left.size(0);
  return kronecker(learned("learned", t.left, t.left_inverse), n / b, learned("learned", t.right, t.right_inverse), b);
}

// A weight (double, m x n) that reads (x diagonal) (left (x) right) instead of x: its rows, as a x b matrices W, become
// left^-1 (W / diagonal) right^-T.
at::Tensor reading(const at::Tensor& weight, const LearnedTransform& t) {
  at::Tensor w = weight;
  if (t.diagonal.defined()) w = w / t.diagonal;
  if (!t.left.defined() && !t.right.defined()) return w;
  const std::int64_t n = w.size(1), b = t.right.defined() ? t.right.size(0) : n / t.left.size(0);
  w = w.reshape({w.size(0), n / b, b});
  if (t.right.defined()) w = at::matmul(w, t.right_inverse.t());
  if (t.left.defined()) w = at::matmul(t.left_inverse, w);
  return w.reshape(weight.sizes());
}

at::Tensor clamped(const at::Tensor& weight, const LearnedClip& clip) {
  const at::Tensor w = weight.to(at::kFloat).contiguous();
  if (!clip.low.defined()) return w;
  return training::clamp_rows(w, clip.low.to(at::kFloat), clip.high.to(at::kFloat));
}

class Folding {
 public:
  Folding(const ResidualRotation::AttentionBlock& sites, const FlatQuantBlock& block, const FlatQuantBits& bits)
      : sites_(sites), block_(block), bits_(bits) {}

  void run() {
    const LearnedTransform& qkv = block_.transform(FlatQuantSite::qkv);
    fold(*sites_.qkv, 0, qkv, FlatQuantWeight::q);
    fold(*sites_.qkv, 1, qkv, FlatQuantWeight::k);
    fold(*sites_.qkv, 2, qkv, FlatQuantWeight::v);
    enter(*sites_.qkv, qkv, FlatQuantSite::qkv);
    fold_values();

    LearnedTransform attended = block_.transform(FlatQuantSite::output);
    const LearnedTransform& value = block_.transform(FlatQuantSite::value);
    attended.right = value.right;
    attended.right_inverse = value.right_inverse;
    fold(*sites_.output, 0, attended, FlatQuantWeight::o);
    enter(*sites_.output, block_.transform(FlatQuantSite::output), FlatQuantSite::output);

    const LearnedTransform& gate_up = block_.transform(FlatQuantSite::gate_up);
    fold(*sites_.gate_up, 0, gate_up, FlatQuantWeight::gate);
    fold(*sites_.gate_up, 1, gate_up, FlatQuantWeight::up);
    enter(*sites_.gate_up, gate_up, FlatQuantSite::gate_up);

    // What down reads is scaled by the rows of up: the gate multiplies it afterwards.
    const LearnedTransform& down = block_.transform(FlatQuantSite::down);
    if (down.diagonal.defined()) {
      LinearWeight& up = sites_.gate_up->weights()[1];
      up.weight = (up.weight.to(at::kDouble) * down.diagonal.unsqueeze(-1)).to(at::kFloat).contiguous();
      if (up.bias.defined()) up.bias = (up.bias.to(at::kDouble) * down.diagonal).to(at::kFloat).contiguous();
    }
    fold(*sites_.down, 0, down, FlatQuantWeight::down);
    enter(*sites_.down, down, FlatQuantSite::down);

    const LearnedTransform& key = block_.transform(FlatQuantSite::key);
    if (key.right.defined())
      sites_.key->set_head_rotation(learned("learned", key.right, key.right_inverse),
                                    learned("learned", key.right_inverse.t(), key.right.t()));
    set_range(*sites_.key, FlatQuantSite::key, bits_.cache);
    set_range(*sites_.value, FlatQuantSite::value, bits_.cache);
  }

 private:
  void fold(LinearSite& site, std::size_t i, const LearnedTransform& t, FlatQuantWeight which) {
    at::Tensor& weight = site.weights()[i].weight;
    weight = clamped(reading(weight.to(at::kDouble), t), block_.clip(which));
  }

  // The site's own input: its scale goes into the norm where there is one, its matrices are online.
  void enter(LinearSite& site, const LearnedTransform& t, FlatQuantSite which) {
    if (t.diagonal.defined() && site.input_scale)
      site.input_scale->copy_(site.input_scale->to(at::kDouble) * t.diagonal);
    site.set_online(online(t, site.info().features));
    set_range(site, which, bits_.activations);
  }

  // Clamped before, then every head's outputs times the matrix (specification 8.2).
  void fold_values() {
    const at::Tensor& p = block_.transform(FlatQuantSite::value).right;
    if (!p.defined()) return;
    const std::int64_t n = p.size(0);
    LinearWeight& v = sites_.qkv->weights()[2];
    const at::Tensor heads = v.weight.to(at::kDouble).reshape({v.weight.size(0) / n, n, v.weight.size(1)});
    v.weight = at::matmul(p.t(), heads).reshape(v.weight.sizes()).to(at::kFloat).contiguous();
    if (v.bias.defined())
      v.bias = at::matmul(v.bias.to(at::kDouble).reshape({-1, n}), p).reshape({-1}).to(at::kFloat).contiguous();
  }

  void set_range(Slot& slot, FlatQuantSite which, double bits) {
    const LearnedClip& clip = block_.clip(which);
    if (clip.low.defined()) slot.set_learned_range({clip.low.item<double>(), clip.high.item<double>(), bits});
  }

  const ResidualRotation::AttentionBlock& sites_;
  const FlatQuantBlock& block_;
  const FlatQuantBits& bits_;
};

}  // namespace

void fold_flatquant(const ResidualRotation::AttentionBlock& sites, const FlatQuantBlock& block,
                    const FlatQuantBits& bits) {
  Folding(sites, block, bits).run();
}

}  // namespace stamp
