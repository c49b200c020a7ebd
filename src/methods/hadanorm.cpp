#include "methods/hadanorm.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "methods/channel_balance.h"
#include "methods/seeded_rotations.h"

namespace stamp {
namespace {

// Sum of squares of what is left of every channel when the mean over each segment is taken off.
struct Spread {
  std::vector<double> squares;
  double rows = 0;

  void add(ConstMatrixView x, const Segments& segments) {
    squares.resize(static_cast<std::size_t>(x.cols), 0.0);
    std::int64_t first = 0;
    for (const Segment& s : segments) {
      std::vector<double> mean(squares.size(), 0.0);
      for (std::int64_t i = first; i < first + s.rows; ++i)
        for (std::size_t j = 0; j < mean.size(); ++j)
          mean[j] += static_cast<double>(x.row(i)[j]) / static_cast<double>(s.rows);
      for (std::int64_t i = first; i < first + s.rows; ++i)
        for (std::size_t j = 0; j < mean.size(); ++j) {
          const double v = static_cast<double>(x.row(i)[j]) - mean[j];
          squares[j] += v * v;
        }
      rows += static_cast<double>(s.rows);
      first += s.rows;
    }
  }
};

class Centring : public MethodRun {
 public:
  Centring(Network& network, const MethodContext& context)
      : network_(network),
        context_(context),
        rotations_(context, "hadanorm"),
        scaled_(text_option(context.options, "scale") == "deviation") {}

  void block(std::size_t index) override {
    const std::vector<LinearSite*> sites = network_.block_sites(index);
    std::vector<Spread> spread(sites.size());
    if (scaled_)
      over_site_inputs(network_, index, context_, [&](std::size_t k, const at::Tensor& x, const Segments& segments) {
        spread[k].add(const_view(x), segments);
      });
    for (std::size_t k = 0; k < sites.size(); ++k) {
      std::vector<double> factors(static_cast<std::size_t>(sites[k]->info().features), 1.0);
      if (scaled_) {
        const std::vector<double> weight = input_maxima(*sites[k]);
        for (std::size_t j = 0; j < factors.size(); ++j)
          factors[j] = std::sqrt(std::sqrt(spread[k].squares[j] / std::max(spread[k].rows, 1.0)) / weight[j]);
      }
      balance(*sites[k], std::move(factors), rotation(sites[k]->info().features));
      sites[k]->set_centred(true);
    }
  }

 private:
  std::shared_ptr<const FeatureTransform> rotation(std::int64_t size) {
    auto& known = made_[size];
    if (!known) known = rotations_.plain(size, "input", "a linear input");
    return known;
  }

  Network& network_;
  MethodContext context_;
  SeededRotations rotations_;
  bool scaled_;
  std::map<std::int64_t, std::shared_ptr<const FeatureTransform>> made_;  // by size
};

class HadaNormMethod : public Method {
 public:
  std::unique_ptr<MethodRun> start(Network& network, const MethodContext& context) const override {
    return std::make_unique<Centring>(network, context);
  }
};

}  // namespace

std::unique_ptr<Method> HadaNorm::make() {
  return std::make_unique<HadaNormMethod>();
}

}  // namespace stamp
