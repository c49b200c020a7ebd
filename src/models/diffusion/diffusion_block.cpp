#include "models/diffusion/diffusion_block.h"

#include <cmath>
#include <stdexcept>

#include "models/kernels/elementwise.h"
#include "models/kernels/full_attention.h"
#include "models/kernels/image_rows.h"
#include "models/tensors.h"

namespace stamp {
namespace {

constexpr float qk_norm_eps = 1e-5f;

MatrixView part(at::Tensor& matrix, std::int64_t first, std::int64_t count) {
  const MatrixView all = view(matrix);
  return {all.row(first), count, all.cols, all.stride};
}
ConstMatrixView const_part(const at::Tensor& matrix, std::int64_t first, std::int64_t count) {
  const ConstMatrixView all = const_view(matrix);
  return {all.row(first), count, all.cols, all.stride};
}

void norm_rows(at::Tensor& x, const at::Tensor& weight) {
  if (weight.defined()) rms_norm(const_view(x), weight.const_data_ptr<float>(), qk_norm_eps, view(x));
}

AttentionShape heads_of(std::int64_t heads, std::int64_t head_dim) {
  AttentionShape shape;
  shape.heads = shape.kv_heads = heads;
  shape.head_dim = head_dim;
  shape.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_dim)));
  return shape;
}

}  // namespace

bool ModulatedSite::fold_input_scale(std::span<const double> factors) {
  if (!modulated_) return false;
  if (static_cast<std::int64_t>(factors.size()) != info().features)
    throw std::logic_error(info().name + ": as many factors as input features are needed");
  divisors_.resize(factors.size(), 1.0);
  for (std::size_t j = 0; j < factors.size(); ++j) divisors_[j] *= factors[j];
  return true;
}

DiffusionBlock::DiffusionBlock(const DiffusionSource& source, std::int64_t index)
    : source_(source), config_(source.config()), prefix_("transformer_blocks." + std::to_string(index) + ".") {
  std::vector<SlotInfo> slots = diffusion_block_slots(config_, index);
  for (std::size_t k = 0; k < slots.size(); ++k) {
    // Self-attention's input and that of the feed-forward part.
    LinearSite& site = sites_.emplace_back(std::move(slots[k]), k == 0 || k + 2 == slots.size());
    for (const std::string& name : site.info().linears) site.weights().push_back({name, {}, {}});
  }
}

std::vector<LinearSite*> DiffusionBlock::sites() {
  std::vector<LinearSite*> out;
  for (LinearSite& site : sites_) out.push_back(&site);
  return out;
}

void DiffusionBlock::load() {
  if (loaded_) return;
  for (LinearSite& site : sites_)
    for (LinearWeight& w : site.weights()) {
      w.weight = source_.matrix(w.name + ".weight");
      if (source_.has(w.name + ".bias")) w.bias = source_.vector(w.name + ".bias");
    }
  if (config_.qk_norm) {
    const char* names[2] = {"norm_q.weight", "norm_k.weight"};
    for (int i = 0; i < 2; ++i) {
      self_norms_[i] = source_.vector(prefix_ + "attn1." + names[i]);
      cross_norms_[i] = source_.vector(prefix_ + "attn2." + names[i]);
    }
  }
  load_own();
  loaded_ = true;
}

void DiffusionBlock::release() {
  for (ModulatedSite& site : sites_) {
    site.release();
    site.restore();
  }
  for (int i = 0; i < 2; ++i) {
    self_norms_[i].reset();
    cross_norms_[i].reset();
  }
  release_own();
  loaded_ = false;
}

void DiffusionBlock::pack() {
  for (LinearSite& site : sites_) site.pack();
}

at::Tensor DiffusionBlock::folded_modulation(const WorkItem& item, const ImageShape& shape,
                                             Conditioner& conditioner) const {
  at::Tensor out = modulation(item, shape, conditioner);
  const std::int64_t d = config_.width();
  const std::vector<double>* divisors[2] = {&sites_.front().divisors(), &sites_[sites_.size() - 2].divisors()};
  for (std::int64_t b = 0; b < shape.samples; ++b)
    for (std::int64_t i = 0; i < 2; ++i) {
      float* shift = view(out).row(b) + i * 3 * d;
      float* scale = shift + d;
      for (std::int64_t j = 0; j < d; ++j) scale[j] = 1.0f + scale[j];
      if (divisors[i]->empty()) continue;
      for (std::int64_t j = 0; j < d; ++j) {
        const double by = (*divisors[i])[static_cast<std::size_t>(j)];
        shift[j] = static_cast<float>(static_cast<double>(shift[j]) / by);
        scale[j] = static_cast<float>(static_cast<double>(scale[j]) / by);
      }
    }
  return out;
}

at::Tensor DiffusionBlock::modulated(const at::Tensor& residual, const at::Tensor& modulation, std::int64_t part_index,
                                     float eps, const ImageShape& shape) const {
  at::Tensor out = fresh_matrix(residual.size(0), residual.size(1));
  const std::int64_t d = config_.width(), n = shape.tokens();
  for (std::int64_t b = 0; b < shape.samples; ++b) {
    const float* of = const_view(modulation).row(b) + part_index * 3 * d;
    modulated_norm(const_part(residual, b * n, n), of, of + d, eps, part(out, b * n, n));
  }
  return out;
}

void DiffusionBlock::add_branch(at::Tensor& residual, const at::Tensor& branch, const at::Tensor& modulation,
                                std::int64_t part_index, const ImageShape& shape) const {
  const std::int64_t d = config_.width(), n = shape.tokens();
  for (std::int64_t b = 0; b < shape.samples; ++b)
    add_gated(part(residual, b * n, n), const_view(modulation).row(b) + part_index * 3 * d + 2 * d,
              const_part(branch, b * n, n));
}

void DiffusionBlock::attend(at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const ImageShape& shape) const {
  const AttentionShape heads = heads_of(config_.heads, config_.head_dim);
  const std::int64_t n = shape.tokens();
  for (std::int64_t b = 0; b < shape.samples; ++b) {
    const MatrixView rows = part(q, b * n, n);
    full_attention(rows, const_part(k, b * n, n), const_part(v, b * n, n), heads, rows);
  }
}

void DiffusionBlock::cross_attend(at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const ImageShape& shape,
                                  const Segments& text) const {
  const AttentionShape heads = heads_of(config_.cross_heads, config_.cross_head_dim);
  const std::int64_t n = shape.tokens();
  std::int64_t first = 0;
  for (std::int64_t b = 0; b < shape.samples; ++b) {
    const MatrixView rows = part(q, b * n, n);
    const std::int64_t count = text[static_cast<std::size_t>(b)].rows;
    full_attention(rows, const_part(k, first, count), const_part(v, first, count), heads, rows);
    first += count;
  }
}

at::Tensor DiffusionBlock::activate(at::Tensor u, const ImageShape&) const {
  gelu_tanh(view(u));
  return u;
}

// What a later step needs lies in `held`: the modulation of all of the block as of its first step, and in
// cross-attention keys and values.
void DiffusionBlock::step(std::size_t k, BlockState& state, const WorkItem& item, Conditioner& conditioner) {
  const ImageShape shape = image_shape(item, config_);
  if (state.residual.size(0) != shape.samples * shape.tokens())
    throw std::logic_error("a diffusion block's rows are the tokens of all samples");
  const Segments segments = image_segments(item, shape);
  const bool text = config_.has_text();
  const std::size_t last = sites_.size();
  at::Tensor pending = std::move(state.pending);
  const auto project = [&](std::size_t site) { return sites_[site].forward(std::move(pending), segments); };
  const auto feed_forward_input = [&] {
    state.pending = modulated(state.residual, state.held.at(0), 1, static_cast<float>(config_.norm_eps), shape);
  };

  if (k == 0) {
    state.held = {folded_modulation(item, shape, conditioner)};
    state.pending = modulated(state.residual, state.held[0], 0, eps_of_attention(), shape);
  } else if (k == 1) {
    std::vector<at::Tensor> qkv = project(0);
    norm_rows(qkv[0], self_norms_[0]);
    norm_rows(qkv[1], self_norms_[1]);
    attend(qkv[0], qkv[1], qkv[2], shape);
    state.pending = std::move(qkv[0]);
  } else if (k == 2) {
    add_branch(state.residual, project(1)[0], state.held.at(0), 0, shape);
    if (text)
      state.pending = conditioner.context(item, shape.samples);
    else
      feed_forward_input();
  } else if (text && k == 3) {
    std::vector<at::Tensor> kv = sites_[2].forward(std::move(pending), text_segments(item, config_, shape.samples));
    norm_rows(kv[0], cross_norms_[1]);
    state.held.insert(state.held.end(), kv.begin(), kv.end());
    state.pending = state.residual;  // no norm, no modulation; a site copies what it changes
  } else if (text && k == 4) {
    at::Tensor q = project(3)[0];
    norm_rows(q, cross_norms_[0]);
    cross_attend(q, state.held.at(1), state.held.at(2), shape, text_segments(item, config_, shape.samples));
    state.held.resize(1);
    state.pending = std::move(q);
  } else if (text && k == 5) {
    add(view(state.residual), const_view(project(4)[0]));
    feed_forward_input();
  } else if (k + 1 == last) {
    state.pending = activate(project(last - 2)[0], shape);
  } else if (k == last) {
    add_branch(state.residual, project(last - 1)[0], state.held.at(0), 1, shape);
    state.held.clear();
  } else {
    throw std::logic_error("a diffusion block has " + std::to_string(last) + " sites, one step more");
  }
}

}  // namespace stamp
