#include "methods/smoothquant.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <vector>

#include "models/network.h"
#include "models/weight_algebra.h"

namespace stamp {
namespace {

constexpr double smallest = 1e-5;  // of a weight's column maximum and of a factor, as in the reference code

// Largest |W_ij| of every input j over all layers that share the input.
std::vector<double> column_maxima(std::vector<LinearWeight>& weights) {
  std::vector<double> maxima(static_cast<std::size_t>(weights.front().weight.size(1)), 0.0);
  for (LinearWeight& w : weights) {
    const ConstMatrixView m = const_view(w.weight);
    for (std::int64_t i = 0; i < m.rows; ++i)
      for (std::int64_t j = 0; j < m.cols; ++j) {
        double& top = maxima[static_cast<std::size_t>(j)];
        top = std::max(top, std::abs(static_cast<double>(m.row(i)[j])));
      }
  }
  return maxima;
}

class Smoothing : public MethodRun {
 public:
  Smoothing(Network& network, const MethodContext& context)
      : network_(network), maxima_(context.channel_maxima), alpha_(real_option(context.options, "alpha")) {}

  void block(std::size_t index) override {
    for (LinearSite* site : network_.block_sites(index))
      if (site->input_scale) smooth(*site);
  }

 private:
  void smooth(LinearSite& site) {
    const std::vector<float> activation = maxima_(site.info().name);
    const std::vector<double> weight = column_maxima(site.weights());
    if (activation.size() != weight.size())
      throw std::logic_error(site.info().name + ": as many channel maxima as input features are needed");
    std::vector<double> factors(weight.size());
    float* norm = site.input_scale->data_ptr<float>();
    for (std::size_t j = 0; j < factors.size(); ++j) {
      const double w = std::max(smallest, weight[j]);
      factors[j] = std::max(smallest, std::pow(static_cast<double>(activation[j]), alpha_) / std::pow(w, 1 - alpha_));
      norm[j] = static_cast<float>(static_cast<double>(norm[j]) / factors[j]);
    }
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
