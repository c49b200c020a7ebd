#include "methods/channel_balance.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "models/weight_algebra.h"
#include "transforms/chain.h"

namespace stamp {

void over_site_inputs(Network& network, std::size_t block, const MethodContext& context,
                      const std::function<void(std::size_t k, const at::Tensor& x, const Segments& segments)>& visit) {
  if (!context.calibration || !context.block_input)
    throw std::logic_error("over_site_inputs: the method has not asked for block inputs");
  const std::vector<LinearSite*> sites = network.block_sites(block);
  for (std::int64_t i = 0; i < context.calibration->count(); ++i) {
    const WorkItem item = context.calibration->item(i);
    BlockState state;
    state.residual = context.block_input(i).clone();  // steps may work in place
    for (std::size_t k = 0; k < sites.size(); ++k) {
      network.step(block, k, state, item);
      const at::Tensor x = sites[k]->input(state.pending.contiguous());
      // A context's rows are not the item's.
      const bool own = !item.segments.empty() && sites[k]->info().rows != SlotRows::context;
      visit(k, x, own ? item.segments : whole_sequence(x.size(0)));
    }
  }
}

std::vector<double> input_maxima(LinearSite& site) {
  std::vector<double> maxima(static_cast<std::size_t>(site.weights().front().weight.size(1)), 0.0);
  for (LinearWeight& w : site.weights()) {
    const ConstMatrixView m = const_view(w.weight);
    for (std::int64_t i = 0; i < m.rows; ++i)
      for (std::int64_t j = 0; j < m.cols; ++j) {
        double& top = maxima[static_cast<std::size_t>(j)];
        top = std::max(top, std::abs(static_cast<double>(m.row(i)[j])));
      }
  }
  return maxima;
}

void balance(LinearSite& site, std::vector<double> factors, std::shared_ptr<const FeatureTransform> rotation) {
  if (site.online()) throw std::logic_error(site.info().name + ": has an online transform already");
  for (double& f : factors)
    if (!std::isfinite(f) || f <= 0) f = 1;
  const bool scaled = std::any_of(factors.begin(), factors.end(), [](double f) { return f != 1; });
  std::shared_ptr<const FeatureTransform> online = rotation;
  if (scaled) {
    for (LinearWeight& w : site.weights()) scale_inputs(w.weight, factors);
    if (!site.fold_input_scale(factors)) {
      std::vector<float> inverse;
      for (const double f : factors) inverse.push_back(static_cast<float>(1 / f));
      std::shared_ptr<const FeatureTransform> scale = diagonal(std::move(inverse));
      online = rotation ? chain(scale, rotation) : scale;
    }
  }
  if (rotation) {
    const WeightRotation r(*rotation);
    for (LinearWeight& w : site.weights()) r.rotate_inputs(w.weight);
  }
  if (online) site.set_online(std::move(online));
}

}  // namespace stamp
