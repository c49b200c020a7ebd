#include "models/diffusion/diffusion_network.h"

#include <ATen/ops/empty.h>

#include <cmath>
#include <stdexcept>

#include "base/error.h"
#include "models/kernels/elementwise.h"
#include "models/kernels/image_rows.h"
#include "models/tensors.h"

namespace stamp {
namespace {

constexpr float last_norm_eps = 1e-6f;  // whatever norm_eps says (models 10.3, 11)

MatrixView part(at::Tensor& matrix, std::int64_t first, std::int64_t count) {
  const MatrixView all = view(matrix);
  return {all.row(first), count, all.cols, all.stride};
}

void check_finite(const at::Tensor& latent, std::int64_t index) {
  const float* values = latent.const_data_ptr<float>();
  for (std::int64_t i = 0; i < latent.numel(); ++i)
    if (!std::isfinite(values[i]))
      throw TrialError("non_finite", "the latent of item " + std::to_string(index) + " holds " +
                                         (std::isnan(values[i]) ? "NaN" : "an infinite value") + " at element " +
                                         std::to_string(i) + " of " + std::to_string(latent.numel()));
}

}  // namespace

DiffusionNetwork::DiffusionNetwork(std::shared_ptr<const DiffusionSource> source,
                                   std::unique_ptr<Conditioner> conditioner, const std::string& patch,
                                   const std::string& projection)
    : source_(std::move(source)),
      conditioner_(std::move(conditioner)),
      patch_(*source_, patch),
      projection_(*source_, projection) {}

void DiffusionNetwork::add(std::unique_ptr<DiffusionBlock> block, bool load) {
  if (load) block->load();
  blocks_.push_back(std::move(block));
}

std::vector<LinearSite*> DiffusionNetwork::linear_sites() {
  std::vector<LinearSite*> sites;
  for (const auto& block : blocks_)
    for (LinearSite* site : block->sites()) sites.push_back(site);
  return sites;
}

void DiffusionNetwork::pack_ends() {
  patch_.pack();
  projection_.pack();
  conditioner_->pack();
}

const std::vector<float>& DiffusionNetwork::positions(const ImageShape& shape) {
  if (position_rows_ != shape.rows || position_columns_ != shape.columns) {
    positions_ = position_table(config().width(), shape.rows, shape.columns, config().sample_size / config().patch_size,
                                *config().positions);
    position_rows_ = shape.rows;
    position_columns_ = shape.columns;
  }
  return positions_;
}

at::Tensor DiffusionNetwork::enter(const WorkItem& item) {
  const DiffusionConfig& c = config();
  const ImageShape shape = image_shape(item, c);
  const at::Tensor latent = item.inputs.at("latent").contiguous();
  check_finite(latent, item.index);
  const std::int64_t n = shape.tokens();
  at::Tensor patches = fresh_matrix(shape.samples * n, c.in_channels * c.patch_size * c.patch_size);
  for (std::int64_t b = 0; b < shape.samples; ++b)
    cut_patches(latent.const_data_ptr<float>() + b * c.in_channels * shape.height * shape.width, c.in_channels,
                shape.height, shape.width, c.patch_size, part(patches, b * n, n));
  at::Tensor rows = patch_.forward(patches);
  if (c.positions) {
    const ConstMatrixView table{positions(shape).data(), n, c.width(), c.width()};
    for (std::int64_t b = 0; b < shape.samples; ++b) stamp::add(part(rows, b * n, n), table);
  }
  return rows;
}

void DiffusionNetwork::step(std::size_t block, std::size_t k, BlockState& state, const WorkItem& item) {
  blocks_[block]->step(k, state, item, *conditioner_);
}

Outputs DiffusionNetwork::leave(at::Tensor rows, const WorkItem& item) {
  const DiffusionConfig& c = config();
  const ImageShape shape = image_shape(item, c);
  const std::int64_t n = shape.tokens(), d = c.width();
  if (rows.size(0) != shape.samples * n) throw std::logic_error("as many rows leave a network as entered it");
  const at::Tensor modulation = last_modulation(conditioner_->time(item, shape.samples).embedded);
  std::vector<float> factor(static_cast<std::size_t>(d));
  for (std::int64_t b = 0; b < shape.samples; ++b) {
    const float* of = const_view(modulation).row(b);
    for (std::int64_t j = 0; j < d; ++j) factor[static_cast<std::size_t>(j)] = 1.0f + of[d + j];
    const MatrixView image = part(rows, b * n, n);
    modulated_norm(image, of, factor.data(), last_norm_eps, image);
  }
  const at::Tensor pixels = projection_.forward(rows);
  at::Tensor out = at::empty({shape.samples, c.out_channels, shape.height, shape.width}, at::TensorOptions(at::kFloat));
  for (std::int64_t b = 0; b < shape.samples; ++b) {
    const ConstMatrixView all = const_view(pixels);
    join_patches({all.row(b * n), n, all.cols, all.stride}, c.out_channels, shape.height, shape.width, c.patch_size,
                 out.data_ptr<float>() + b * c.out_channels * shape.height * shape.width);
  }
  Outputs outputs;
  outputs.named["noise"] = std::move(out);
  return outputs;
}

std::unique_ptr<DiffusionNetwork> make_diffusion_network(std::shared_ptr<const DiffusionSource> source,
                                                         bool load_blocks) {
  switch (source->config().kind) {
    case DiffusionKind::dit: return make_dit(std::move(source), load_blocks);
    case DiffusionKind::pixart: return make_pixart(std::move(source), load_blocks);
    case DiffusionKind::sana: return make_sana(std::move(source), load_blocks);
  }
  throw std::logic_error("a diffusion transformer of no known kind");
}

}  // namespace stamp
