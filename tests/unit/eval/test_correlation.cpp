#include "eval/correlation.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros.h>

#include <map>

#include "config/spec.h"
#include "models/network.h"
#include "results/record.h"
#include "support/catch.h"
#include "support/toy_network.h"

using namespace stamp;

namespace {

// One block with one linear layer, whose input is the item's rows.
class OneLayer : public test::ToyNetwork {
 public:
  explicit OneLayer(std::int64_t features) : site_(info(features)) {
    site_.weights().push_back({"layers.0.proj", at::zeros({1, features}, at::kFloat), {}});
  }
  std::vector<LinearSite*> linear_sites() override { return {&site_}; }
  at::Tensor enter(const WorkItem& item) override { return item.inputs.at("rows").clone(); }
  void step(std::size_t, std::size_t k, BlockState& state, const WorkItem&) override {
    if (k > 0) return;  // what follows the last site
    site_.forward(state.residual, whole_sequence(state.residual.size(0)));
    ++passes;
  }
  Outputs leave(at::Tensor, const WorkItem&) override { return {}; }
  int passes = 0;

 private:
  static SlotInfo info(std::int64_t features) {
    SlotInfo i;
    i.name = "layers.0.mlp.proj.input";
    i.features = features;
    return i;
  }
  LinearSite site_;
};

struct Measured {
  std::map<std::string, double> values;
  std::map<std::string, std::string> files;
};

Measured measure(const std::vector<float>& rows, std::int64_t skip) {
  Measured measured;
  TrialSpec spec;
  spec.quantization.sequence.skip_first = skip;
  EvaluatorContext context;
  context.spec = &spec;
  context.keep_file = [&](const std::string& name, std::string_view bytes) { measured.files[name] = bytes; };
  const auto evaluator = Correlation::make(context);
  OneLayer network(2);
  WorkItem item;
  at::Tensor x = at::zeros({static_cast<std::int64_t>(rows.size()) / 2, 2}, at::kFloat);
  std::copy(rows.begin(), rows.end(), x.mutable_data_ptr<float>());
  item.inputs["rows"] = x;
  evaluator->run(network, item);
  CHECK(network.passes == 1);
  for (const Metric& m : evaluator->finish({})) measured.values[m.name] = m.value;
  return measured;
}

}  // namespace

TEST_CASE("means by lag are those of the diagonals", "[correlation]") {
  const std::vector<float> m{1, 2, 3,  //
                             9, 1, 4,  //
                             9, 9, 1};
  const std::vector<double> lags = mean_by_lag(m, 3);
  CHECK(lags == std::vector<double>{1, 3, 3});
}

TEST_CASE("a matrix shrinks to means of squares", "[correlation]") {
  const std::vector<float> m{1, 3, 0, 4, 7,  //
                             3, 1, 0, 4, 7,  //
                             2, 2, 8, 8, 7,  //
                             2, 2, 8, 8, 7,  //
                             7, 7, 7, 7, 7};
  // Squares of three: the last two rows and columns fill none.
  CHECK(shrink_square(m, 5, 2) == std::vector<double>{(1 + 3 + 0 + 3 + 1 + 0 + 2 + 2 + 8) / 9.0});
  CHECK(shrink_square(m, 5, 3) == std::vector<double>{2, 2, 2, 8});
  const std::vector<double> four = shrink_square(std::span(m).first(16), 4, 4);
  CHECK(four.size() == 16);  // small enough as it is
}

TEST_CASE("cosines of tokens at a distance, whatever their length", "[correlation]") {
  // A sink that is left out, then tokens of one direction that change sign, of very different lengths.
  const Measured m = measure({0, 1000, 1, 0, -2, 0, 30, 0, -4, 0, 5, 0}, 1);
  CHECK(m.values.at("token_correlation_1") == Approx(-1));
  CHECK(m.values.at("token_correlation_4") == Approx(1));
  CHECK_FALSE(m.values.contains("token_correlation_16"));  // no two tokens lie so far apart
  CHECK(m.files.contains("correlation_mlp.proj.png"));
  CHECK(m.files.at("correlation.csv").find("mlp.proj,1,4,1\n") != std::string::npos);
}

TEST_CASE("tokens at right angles are not correlated", "[correlation]") {
  const Measured m = measure({1, 0, 0, 1, -1, 0, 0, -1}, 0);
  CHECK(m.values.at("token_correlation_1") == Approx(0).margin(1e-6));
}
