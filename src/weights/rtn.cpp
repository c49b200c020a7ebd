#include "weights/rtn.h"

#include "models/network.h"
#include "weights/weight_grid.h"

namespace stamp {

namespace {

class Rounding : public WeightQuantizer {
 public:
  void quantize(Network& network, std::size_t block, const WeightContext& context) const override {
    const WeightGrid grid = weight_grid(context.spec);
    for (LinearSite* site : network.block_sites(block))
      for (LinearWeight& linear : site->weights()) {
        linear.weight = linear.weight.contiguous();
        fake_quantize_weight(view(linear.weight), grid);
      }
  }
};

}  // namespace

std::unique_ptr<WeightQuantizer> WeightRtn::make() {
  return std::make_unique<Rounding>();
}

}  // namespace stamp
