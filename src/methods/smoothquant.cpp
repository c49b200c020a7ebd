#include "methods/smoothquant.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <vector>

#include "methods/channel_balance.h"
#include "models/network.h"
#include "models/weight_algebra.h"

namespace stamp {
namespace {

constexpr double smallest = 1e-5;  // of a weight's column maximum and of a factor, as in the reference code

class Smoothing : public MethodRun {
 public:
  Smoothing(Network& network, const MethodContext& context)
      : network_(network), maxima_(context.channel_maxima), alpha_(real_option(context.options, "alpha")) {}

  void block(std::size_t index) override {
    for (LinearSite* site : network_.block_sites(index)) {
      // Only where a norm makes the input: dividing by one changes nothing and tells.
      const std::vector<double> ones(static_cast<std::size_t>(site->info().features), 1.0);
      if (site->fold_input_scale(ones)) smooth(*site);
    }
  }

 private:
  void smooth(LinearSite& site) {
    const std::vector<float> activation = maxima_(site.info().name);
    const std::vector<double> weight = input_maxima(site);
    if (activation.size() != weight.size())
      throw std::logic_error(site.info().name + ": as many channel maxima as input features are needed");
    std::vector<double> factors(weight.size());
    for (std::size_t j = 0; j < factors.size(); ++j) {
      const double w = std::max(smallest, weight[j]);
      factors[j] = std::max(smallest, std::pow(static_cast<double>(activation[j]), alpha_) / std::pow(w, 1 - alpha_));
    }
    site.fold_input_scale(factors);
    for (LinearWeight& w : site.weights()) scale_inputs(w.weight, factors);
  }

  Network& network_;
  std::function<std::vector<float>(const std::string&)> maxima_;
  double alpha_;
};

class SmoothQuantMethod : public Method {
 public:
  std::unique_ptr<MethodRun> start(Network& network, const MethodContext& context) const override {
    return std::make_unique<Smoothing>(network, context);
  }
};

}  // namespace

std::unique_ptr<Method> SmoothQuant::make() {
  return std::make_unique<SmoothQuantMethod>();
}

}  // namespace stamp
