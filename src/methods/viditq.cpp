#include "methods/viditq.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "methods/channel_balance.h"
#include "methods/seeded_rotations.h"

namespace stamp {
namespace {

constexpr double smallest_activation = 1e-3;  // as in the 2025 code
constexpr double smallest_weight = 1e-5;
constexpr double kept = 0.95;  // of the moving average when an item comes, in the 2024 code

class Balancing : public MethodRun {
 public:
  Balancing(Network& network, const MethodContext& context)
      : network_(network),
        context_(context),
        rotations_(context, "viditq"),
        averaged_(text_option(context.options, "recipe") == "2024"),
        alpha_(real_option(context.options, "alpha")),
        last_only_(text_option(context.options, "layers") == "last") {}

  void block(std::size_t index) override {
    if (last_only_ && index + 1 < network_.blocks()) return;
    const std::vector<LinearSite*> sites = network_.block_sites(index);
    std::vector<std::vector<double>> largest(sites.size());
    over_site_inputs(network_, index, context_, [&](std::size_t k, const at::Tensor& x, const Segments&) {
      if (chosen(k, sites.size())) take(largest[k], const_view(x));
    });
    for (std::size_t k = 0; k < sites.size(); ++k) {
      if (!chosen(k, sites.size())) continue;
      const std::vector<double> weight = input_maxima(*sites[k]);
      std::vector<double> factors(weight.size());
      for (std::size_t j = 0; j < factors.size(); ++j)
        factors[j] = std::pow(std::max(largest[k][j], smallest_activation), alpha_) /
                     std::pow(std::max(weight[j], smallest_weight), 1 - alpha_);
      balance(*sites[k], std::move(factors), averaged_ ? nullptr : rotation(sites[k]->info().features));
    }
  }

 private:
  bool chosen(std::size_t site, std::size_t sites) const { return !last_only_ || site + 1 == sites; }

  void take(std::vector<double>& largest, ConstMatrixView x) const {
    std::vector<double> here(static_cast<std::size_t>(x.cols), 0.0);
    for (std::int64_t i = 0; i < x.rows; ++i)
      for (std::int64_t j = 0; j < x.cols; ++j) {
        double& top = here[static_cast<std::size_t>(j)];
        top = std::max(top, std::abs(static_cast<double>(x.row(i)[j])));
      }
    if (largest.empty()) {
      largest = std::move(here);
      return;
    }
    for (std::size_t j = 0; j < here.size(); ++j)
      largest[j] = averaged_ ? kept * largest[j] + (1 - kept) * here[j] : std::max(largest[j], here[j]);
  }

  std::shared_ptr<const FeatureTransform> rotation(std::int64_t size) {
    auto& known = made_[size];
    if (!known) known = rotations_.with_signs(size, "input", "a linear input");
    return known;
  }

  Network& network_;
  MethodContext context_;
  SeededRotations rotations_;
  bool averaged_;
  double alpha_;
  bool last_only_;
  std::map<std::int64_t, std::shared_ptr<const FeatureTransform>> made_;  // by size
};

class ViDiTQMethod : public Method {
 public:
  std::unique_ptr<MethodRun> start(Network& network, const MethodContext& context) const override {
    return std::make_unique<Balancing>(network, context);
  }
};

}  // namespace

std::unique_ptr<Method> ViDiTQ::make() {
  return std::make_unique<ViDiTQMethod>();
}

}  // namespace stamp
