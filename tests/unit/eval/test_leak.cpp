#include "eval/leak.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <cmath>

#include "config/spec.h"
#include "models/network.h"
#include "results/record.h"
#include "support/catch.h"
#include "support/toy_network.h"

using namespace stamp;

namespace {

// Losses are the ids themselves, one position on; with `leaks` every position adds a tenth of the last id.
class Toy : public test::ToyNetwork {
 public:
  explicit Toy(bool leaks) : leaks_(leaks) {}
  std::size_t blocks() const override { return 0; }
  at::Tensor enter(const WorkItem& item) override { return item.inputs.at("ids"); }
  void step(std::size_t, std::size_t, BlockState&, const WorkItem&) override {}
  Outputs leave(at::Tensor ids, const WorkItem&) override {
    const std::int64_t n = ids.numel();
    const auto* in = ids.const_data_ptr<std::int64_t>();
    at::Tensor losses = at::empty({n - 1}, at::kFloat);
    for (std::int64_t t = 0; t + 1 < n; ++t)
      losses.mutable_data_ptr<float>()[t] =
          static_cast<float>(in[t + 1]) + (leaks_ ? 0.1f * static_cast<float>(in[n - 1]) : 0.0f);
    Outputs out;
    out.named["token_nll"] = losses;
    return out;
  }

 private:
  bool leaks_;
};

WorkItem window(const std::vector<std::int64_t>& ids) {
  WorkItem item;
  at::Tensor t = at::empty({static_cast<std::int64_t>(ids.size())}, at::kLong);
  std::copy(ids.begin(), ids.end(), t.mutable_data_ptr<std::int64_t>());
  item.inputs["ids"] = t;
  return item;
}

double value(const std::vector<Metric>& metrics, const std::string& name) {
  for (const Metric& m : metrics)
    if (m.name == name) return m.value;
  return NAN;
}

std::vector<Metric> measure(bool leaks, std::int64_t skip) {
  TrialSpec spec;
  spec.quantization.sequence.skip_first = skip;
  EvaluatorContext context;
  context.spec = &spec;
  const auto evaluator = Leak::make(context);
  Toy network(leaks);
  evaluator->run(network, window({5, 1, 2, 1, 2, 1, 4}));
  return evaluator->finish({});
}

}  // namespace

TEST_CASE("losses are split by their place in pairs behind the skipped tokens", "[leak]") {
  const std::vector<float> losses{10, 1, 2, 1, 2, 1};
  CHECK(parity_losses(losses, 1).left == Approx(1));   // positions 1, 3, 5
  CHECK(parity_losses(losses, 1).right == Approx(2));  // 2, 4
  CHECK(parity_losses(losses, 0).left == Approx((10 + 2 + 2) / 3.0));
  CHECK(parity_losses(losses, 0).right == Approx(1));
  CHECK(std::isnan(parity_losses(losses, 5).right));
}

TEST_CASE("earlier losses of a causal model do not move with the last token, those of another do", "[leak]") {
  const std::vector<Metric> causal = measure(false, 1), other = measure(true, 1);
  CHECK(value(causal, "leak_future_change") == 0);
  CHECK(value(causal, "leak_future_largest") == 0);
  CHECK(value(other, "leak_future_change") == Approx(0.1 * 3));  // 4 became 1
  CHECK(value(other, "leak_future_largest") == Approx(0.1 * 3));
  // Losses 1, 2, 1, 2, 1, 4 at positions 0 to 5.
  CHECK(value(causal, "leak_left_nll") == Approx((2 + 2 + 4) / 3.0));
  CHECK(value(causal, "leak_right_nll") == Approx(1));
}
