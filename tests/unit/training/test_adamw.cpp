// Golden values: torch.optim.AdamW with CosineAnnealingLR(T_max = 10, eta_min = 5e-6), torch 2.13, two groups, the loss
// sum (p - 0.1 t c)^3 + sum q sin q.
#include "training/adamw.h"

#include <ATen/ops/cos.h>
#include <ATen/ops/sin.h>
#include <ATen/ops/tensor.h>

#include <map>

#include "support/catch.h"
#include "unit/training/tensors.h"

using namespace stamp;
using namespace stamp::training;

TEST_CASE("AdamW with cosine decay takes the steps of torch.optim") {
  const at::Tensor p = at::tensor({0.5f, -1.25f, 2.0f, 0.0f}).set_requires_grad(true);
  const at::Tensor q = at::tensor({1.0f, -3.0f}).set_requires_grad(true);
  const at::Tensor c = at::tensor({1.0f, -2.0f, 0.5f, 0.25f});
  const std::map<int, std::vector<std::vector<float>>> golden = {
      {0, {{0.494975001f, -1.25493753f, 1.99489999f, -0.00499997335f}, {0.949499965f, -3.04849982f}}},
      {4, {{0.481689751f, -1.26924038f, 1.97804642f, -0.0193306636f}, {0.781887889f, -3.21021724f}}},
      {9, {{0.478022546f, -1.27258182f, 1.97224462f, -0.0246430486f}, {0.723347664f, -3.26745558f}}}};
  AdamW optimizer({{{p}, 5e-3, 5e-6}, {{q}, 5e-2, 5e-6}});
  for (int t = 0; t < 10; ++t) {
    optimizer.zero_gradients();
    const at::Tensor d = p - c * 0.1 * (t + 1);
    ((d * d * d).sum() + (at::sin(q) * q).sum()).backward();
    optimizer.step(cosine_decay(t, 10));
    const auto found = golden.find(t);
    if (found == golden.end()) continue;
    INFO("after step " << t);
    // Values of size 3 that ten float32 updates made.
    CHECK(test::largest_of(p - at::tensor(found->second[0])) < 1e-6);
    CHECK(test::largest_of(q - at::tensor(found->second[1])) < 1e-6);
  }
}

TEST_CASE("AdamW leaves parameters without a gradient alone and refuses what it cannot update") {
  const at::Tensor p = at::tensor({1.0f}).set_requires_grad(true);
  AdamW optimizer({{{p}, 0.1, 0}});
  optimizer.step();
  CHECK(p.item<float>() == 1.0f);
  CHECK_THROWS_AS(AdamW({{{p * 2}, 0.1, 0}}), std::logic_error);
}
