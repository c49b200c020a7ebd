#include "engine/weight_rtn.h"

#include "models/network.h"
#include "quant/grid.h"

namespace stamp {

namespace {

class Rounding : public WeightQuantizer {
 public:
  void quantize(Network& network, const WeightContext& context) const override {
    WeightGrid grid;
    grid.bits = context.spec.bits;
    grid.symmetric = context.spec.symmetric;
    grid.clip_search = context.spec.clip_search;
    grid.group = context.spec.granularity == "group" ? context.spec.group_size : 0;
    const auto sites = network.linear_sites();
    std::int64_t done = 0;
    for (LinearSite* site : sites) {
      for (LinearWeight& linear : site->weights()) {
        linear.weight = linear.weight.contiguous();
        fake_quantize_weight(view(linear.weight), grid);
      }
      if (context.step) context.step(++done, static_cast<std::int64_t>(sites.size()));
    }
  }
};

}  // namespace

std::unique_ptr<WeightQuantizer> WeightRtn::make() {
  return std::make_unique<Rounding>();
}

}  // namespace stamp
