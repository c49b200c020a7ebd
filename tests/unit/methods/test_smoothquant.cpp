// SmoothQuant moves scales between norms and weights without changing the function. Specification methods 5.
#include "methods/smoothquant.h"

#include <map>

#include "unit/methods/decoders.h"

using namespace stamp;

namespace {

using Maxima = std::map<std::string, std::vector<float>>;

Maxima measure(DecoderNetwork& network, const std::vector<std::int64_t>& ids) {
  Maxima maxima;
  for (LinearSite* site : network.linear_sites())
    site->set_observer([&](const SlotInfo& info, ConstMatrixView x) {
      std::vector<float>& top = maxima[info.name];
      top.resize(static_cast<std::size_t>(x.cols), 0.0f);
      for (std::int64_t i = 0; i < x.rows; ++i)
        for (std::int64_t j = 0; j < x.cols; ++j)
          top[static_cast<std::size_t>(j)] = std::max(top[static_cast<std::size_t>(j)], std::abs(x.row(i)[j]));
    });
  test::logits_of(network, ids);
  for (LinearSite* site : network.linear_sites()) site->set_observer(nullptr);
  return maxima;
}

void smooth(Network& network, double alpha, const Maxima& maxima) {
  MethodContext context;
  context.options = {{"alpha", alpha}};
  context.channel_maxima = [&](const std::string& slot) { return maxima.at(slot); };
  test::apply(*SmoothQuant::make(), network, context);
}

}  // namespace

TEST_CASE("a smoothed decoder gives the logits of the original") {
  for (const std::string& name : test::tiny_decoders()) {
    const auto checkpoint = test::open_fixture(name);
    if (!checkpoint) return;
    const auto source = std::make_shared<DecoderSource>(checkpoint);
    const std::vector<std::int64_t> ids = test::first_sample(*checkpoint);
    DecoderNetwork original(source);
    const at::Tensor expected = test::logits_of(original, ids);
    const Maxima maxima = measure(original, ids);
    for (const double alpha : {0.0, 0.5, 0.85, 1.0}) {
      DecoderNetwork smoothed(source);
      smooth(smoothed, alpha, maxima);
      INFO(name << " alpha " << alpha);
      CHECK(test::distance(test::logits_of(smoothed, ids), expected) <= test::exact * test::largest(expected));
    }
  }
}

TEST_CASE("alpha 0.5 makes activations and weights equally large in every channel") {
  const auto checkpoint = test::open_fixture("qwen2_tiny");
  if (!checkpoint) return;
  const auto source = std::make_shared<DecoderSource>(checkpoint);
  const std::vector<std::int64_t> ids = test::first_sample(*checkpoint);
  DecoderNetwork network(source);
  const Maxima before = measure(network, ids);
  smooth(network, 0.5, before);
  const Maxima after = measure(network, ids);
  std::size_t smoothed = 0;
  for (LinearSite* site : network.linear_sites()) {
    const std::vector<float>& activation = after.at(site->info().name);
    if (!site->input_scale) {
      for (std::size_t j = 0; j < activation.size(); ++j)
        CHECK(activation[j] == Approx(before.at(site->info().name)[j]).epsilon(1e-4));
      continue;
    }
    ++smoothed;
    for (std::size_t j = 0; j < activation.size(); ++j) {
      float weight = 0;
      for (const LinearWeight& w : site->weights())
        for (std::int64_t i = 0; i < w.weight.size(0); ++i)
          weight = std::max(weight, std::abs(const_view(w.weight).row(i)[j]));
      // a / c = sqrt(a w) = w c.
      CHECK(activation[j] == Approx(weight).epsilon(1e-4));
    }
  }
  CHECK(smoothed == 6);  // two of four sites in each of three layers
}
