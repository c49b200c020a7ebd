// Prints the loss of the small FlatQuant block and its gradients as JSON for scripts/reference/flatquant.py.
#include <cstdio>

#include "base/json.h"
#include "unit/training/flatquant_case.h"

int main() {
  stamp::test::FlatQuantCase c = stamp::test::flatquant_case();
  const at::Tensor out =
      stamp::training::quantized_output(c.block, c.learned, c.x, c.quantization, stamp::training::Product::float32);
  const at::Tensor d = out - c.target, loss = (d * d).mean();
  loss.backward();
  const auto list = [](const at::Tensor& t) {
    const at::Tensor flat = t.detach().to(at::kDouble).contiguous();
    return std::vector<double>(flat.const_data_ptr<double>(), flat.const_data_ptr<double>() + flat.numel());
  };
  stamp::Json all = {{"loss", loss.item<double>()}, {"output", list(out)}};
  for (const auto& [name, leaf] : c.leaves)
    all["gradients"][name] = leaf.grad().defined() ? list(leaf.grad()) : std::vector<double>();
  std::puts(all.dump().c_str());
}
