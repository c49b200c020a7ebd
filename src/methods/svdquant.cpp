#include "methods/svdquant.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <stdexcept>

#include "methods/channel_balance.h"
#include "methods/svd_layer.h"

namespace stamp {
namespace {

// The grids of the trial. Weights without the search for a clip: it would take eighty times as long, and what counts
// here is which of two splits is better.
svd::Settings settings_of(const MethodContext& context) {
  const QuantizationSpec& q = context.quantization;
  svd::Settings s;
  s.rank = integer_option(context.options, "rank");
  s.grid = integer_option(context.options, "grid");
  s.iterations = integer_option(context.options, "iterations");
  s.weights.bits = q.weights.bits;
  s.weights.symmetric = q.weights.symmetric;
  s.weights.clip_search = false;
  s.weights.group = q.weights.granularity == "group" ? q.weights.group_size : 0;
  s.activations.bits = q.activations.bits;
  s.activations.symmetric = q.activations.symmetric;
  s.activations.clip = q.activations.clip;
  s.activations.group = q.activations.granularity == "group" ? q.activations.group_size : 0;
  return s;
}

class Splitting : public MethodRun {
 public:
  Splitting(Network& network, const MethodContext& context)
      : network_(network),
        context_(context),
        settings_(settings_of(context)),
        rows_(integer_option(context.options, "rows")) {
    if (!context.calibration) throw std::logic_error("svdquant needs calibration items");
  }

  void block(std::size_t index) override {
    const std::vector<LinearSite*> sites = network_.block_sites(index);
    std::vector<std::vector<at::Tensor>> seen(sites.size());
    const std::int64_t share =
        std::max<std::int64_t>(1, rows_ / std::max<std::int64_t>(1, context_.calibration->count()));
    over_site_inputs(network_, index, context_, [&](std::size_t k, const at::Tensor& x, const Segments&) {
      seen[k].push_back(spread_rows(x, share));
    });
    for (std::size_t k = 0; k < sites.size(); ++k) change(*sites[k], at::cat(seen[k]));
  }

 private:
  // `count` rows at equal distances.
  static at::Tensor spread_rows(const at::Tensor& x, std::int64_t count) {
    const std::int64_t n = std::min(count, x.size(0));
    at::Tensor rows = at::empty({n, x.size(1)}, at::TensorOptions(at::kFloat));
    const ConstMatrixView from = const_view(x);
    const MatrixView to = view(rows);
    for (std::int64_t i = 0; i < n; ++i) std::copy_n(from.row(i * x.size(0) / n), from.cols, to.row(i));
    return rows;
  }

  void change(LinearSite& site, const at::Tensor& x) {
    std::vector<at::Tensor> stacked;
    for (const LinearWeight& w : site.weights()) stacked.push_back(w.weight);
    svd::Settings settings = settings_;
    settings.activations.group = std::min(settings.activations.group, site.info().features);
    const svd::Choice choice = svd::search(at::cat(stacked), x, settings);
    balance(site, choice.factors, nullptr);
    auto branch = std::make_shared<LowRankBranch>();
    branch->down = choice.best.down;
    std::int64_t first = 0;
    for (LinearWeight& w : site.weights()) {
      const std::int64_t m = w.weight.size(0);
      branch->up.push_back(choice.best.up.narrow(0, first, m).contiguous());
      w.weight = choice.best.residual.narrow(0, first, m).clone();
      first += m;
    }
    site.set_low_rank(std::move(branch));
  }

  Network& network_;
  MethodContext context_;
  svd::Settings settings_;
  std::int64_t rows_;
};

class SvdQuantMethod : public Method {
 public:
  std::unique_ptr<MethodRun> start(Network& network, const MethodContext& context) const override {
    return std::make_unique<Splitting>(network, context);
  }
};

}  // namespace

std::unique_ptr<Method> SvdQuant::make() {
  return std::make_unique<SvdQuantMethod>();
}

}  // namespace stamp
