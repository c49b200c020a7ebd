// Methods on diffusion transformers: what they fold and rotate leaves the function as it is.
#include <ATen/core/Tensor.h>

#include <cmath>
#include <map>

#include "base/seed.h"
#include "methods/channel_balance.h"
#include "methods/hadanorm.h"
#include "methods/quarot.h"
#include "methods/smoothquant.h"
#include "methods/svdquant.h"
#include "methods/viditq.h"
#include "models/weight_algebra.h"
#include "support/toy_network.h"
#include "unit/diffusion/fixture_items.h"
#include "unit/methods/bench_of_methods.h"
#include "weights/gptq.h"
#include "weights/rtn.h"

using namespace stamp;

namespace {

using Source = std::shared_ptr<const DiffusionSource>;

at::Tensor noise_of(Network& network, const WorkItem& item) {
  return network.run(item).named.at("noise");
}

MethodContext context_of(const PluginInfo& info, const Json& options) {
  MethodContext context;
  context.options = complete_options(info, options, "test");
  return context;
}

// Largest |x_j| of every slot over an item, as the engine measures them.
std::map<std::string, std::vector<float>> maxima_of(Network& network, const WorkItem& item) {
  std::map<std::string, std::vector<float>> maxima;
  for (LinearSite* site : network.linear_sites())
    site->set_observer([&maxima](const SlotInfo& slot, ConstMatrixView x) {
      std::vector<float>& largest = maxima[slot.name];
      largest.resize(static_cast<std::size_t>(x.cols), 0.0f);
      for (std::int64_t i = 0; i < x.rows; ++i)
        for (std::size_t j = 0; j < largest.size(); ++j) largest[j] = std::max(largest[j], std::fabs(x.row(i)[j]));
    });
  network.run(item);
  for (LinearSite* site : network.linear_sites()) site->set_observer(nullptr);
  return maxima;
}

// The method on a network of the fixture.
std::unique_ptr<DiffusionNetwork> changed_by(const Method& method, MethodContext context, const Source& source) {
  auto network = make_diffusion_network(source);
  const auto twin = make_diffusion_network(source);
  const test::FixtureItems items(*source, true);
  const auto maxima = maxima_of(*twin, items.item(0));
  context.channel_maxima = [&maxima](const std::string& slot) { return maxima.at(slot); };
  test::apply_with_inputs(method, *network, *twin, items, context);
  return network;
}

double change(const Method& method, const MethodContext& context, const Source& source) {
  const WorkItem item = test::FixtureItems(*source, true).item(0);
  const at::Tensor expected = noise_of(*make_diffusion_network(source), item);
  return test::gap(noise_of(*changed_by(method, context, source), item), expected);
}

// From 1/20 to 20.
std::vector<double> random_factors(std::int64_t count, const std::string& purpose) {
  RandomStream stream(3, purpose);
  std::vector<double> out;
  for (std::int64_t j = 0; j < count; ++j) out.push_back(std::exp(std::clamp(1.5 * stream.normal(), -3.0, 3.0)));
  return out;
}

bool is_modulated(const LinearSite& site) {
  const std::string& reader = site.info().linears.front();
  return reader.ends_with(".attn1.to_q") || reader.ends_with(".ff.net.0.proj") || reader.ends_with(".ff.conv_inverted");
}

// One site of `features`, which no norm precedes.
class OneSite : public test::ToyNetwork {
 public:
  explicit OneSite(std::int64_t features)
      : site_(SlotInfo{"site.input", SlotKind::linear_input, features, 1, 0, {"site"}}) {
    at::Tensor weight = at::empty({4, features}, at::TensorOptions(at::kFloat));
    RandomStream stream(4, "weight");
    for (std::int64_t i = 0; i < weight.numel(); ++i) weight.data_ptr<float>()[i] = static_cast<float>(stream.normal());
    site_.weights().push_back({"site", weight, {}});
  }
  std::vector<LinearSite*> linear_sites() override { return {&site_}; }
  at::Tensor enter(const WorkItem& item) override { return item.inputs.at("x"); }
  void step(std::size_t, std::size_t k, BlockState& state, const WorkItem&) override {
    if (k == 0)
      state.pending = state.residual;
    else
      state.residual = site_.forward(std::move(state.pending), whole_sequence(state.residual.size(0)))[0];
  }
  Outputs leave(at::Tensor rows, const WorkItem&) override {
    Outputs out;
    out.named["y"] = std::move(rows);
    return out;
  }

 private:
  LinearSite site_;
};

}  // namespace

TEST_CASE("a scale folded into the modulation and the weights leaves the output as it is, with nothing left online") {
  for (const char* name : test::tiny_diffusers) {
    const Source source = test::open_diffusion(name);
    if (!source) return;
    const WorkItem item = test::FixtureItems(*source, true).item(0);
    const auto network = make_diffusion_network(source);
    const at::Tensor before = noise_of(*network, item);
    for (int times = 0; times < 2; ++times)  // one scale on top of another
      for (LinearSite* site : network->linear_sites()) {
        const std::vector<double> factors =
            random_factors(site->info().features, site->info().name + std::to_string(times));
        CHECK(site->fold_input_scale(factors) == is_modulated(*site));
        if (!is_modulated(*site)) continue;
        for (LinearWeight& w : site->weights()) scale_inputs(w.weight, factors);
        CHECK(site->online() == nullptr);
      }
    const double gap = test::gap(noise_of(*network, item), before);
    INFO(name << " " << gap);
    CHECK(gap <= 1e-5);
    if (std::getenv("STAMP_SHOW_GAPS")) WARN(name << ": folded " << gap);
    // The scale is there: with the weights as they were, the output is another.
    network->release(0);
    network->load(0);
    LinearSite* first = network->block_sites(0).front();
    first->fold_input_scale(random_factors(first->info().features, "alone"));
    CHECK(test::gap(noise_of(*network, item), before) > 1e-3);
    // A block that comes back is as it was.
    for (std::size_t block = 0; block < network->blocks(); ++block) {
      network->release(block);
      network->load(block);
    }
    CHECK(test::gap(noise_of(*network, item), before) == 0);
  }
}

TEST_CASE("a modulated site takes as many factors as it has features") {
  const Source source = test::open_diffusion("dit_tiny");
  if (!source) return;
  const auto network = make_diffusion_network(source);
  const std::vector<double> few(3, 2.0);
  CHECK_THROWS_AS(network->block_sites(0).front()->fold_input_scale(few), std::logic_error);
}

TEST_CASE("at high bits every method leaves the function of a diffusion transformer as it is") {
  for (const char* name : test::tiny_diffusers) {
    const Source source = test::open_diffusion(name);
    if (!source) return;
    const auto check = [&](const char* what, const Method& method, const MethodContext& context) {
      const double gap = change(method, context, source);
      INFO(name << " " << what << " " << gap);
      CHECK(gap <= test::exact);
      if (std::getenv("STAMP_SHOW_GAPS")) WARN(name << ": " << what << " " << gap);
    };
    check("quarot", *QuaRot::make(), context_of(QuaRot::info(), Json::object()));
    check("quarot random", *QuaRot::make(), context_of(QuaRot::info(), {{"rotation", "random"}}));
    check("smoothquant", *SmoothQuant::make(), context_of(SmoothQuant::info(), Json::object()));
    check("viditq", *ViDiTQ::make(), context_of(ViDiTQ::info(), Json::object()));
    check("viditq 2024", *ViDiTQ::make(), context_of(ViDiTQ::info(), {{"recipe", "2024"}, {"alpha", 0.3}}));
    check("hadanorm", *HadaNorm::make(), context_of(HadaNorm::info(), Json::object()));
    MethodContext svd = context_of(SvdQuant::info(), {{"rank", 4}, {"grid", 4}, {"rows", 64}});
    svd.quantization.weights.clip_search = false;
    check("svdquant", *SvdQuant::make(), svd);
  }
}

TEST_CASE("quarot rotates every linear input of a diffusion transformer online, and the weights that read it") {
  const Source source = test::open_diffusion("sana_tiny");
  if (!source) return;
  const auto network = changed_by(*QuaRot::make(), context_of(QuaRot::info(), Json::object()), source);
  const auto twin = make_diffusion_network(source);
  const std::vector<LinearSite*> sites = network->linear_sites(), untouched = twin->linear_sites();
  for (std::size_t i = 0; i < sites.size(); ++i) {
    REQUIRE(sites[i]->online() != nullptr);
    CHECK(sites[i]->online()->size() == sites[i]->info().features);
    CHECK(sites[i]->online()->name().find("hadamard") != std::string::npos);
    for (std::size_t k = 0; k < sites[i]->weights().size(); ++k)
      CHECK(test::gap(sites[i]->weights()[k].weight, untouched[i]->weights()[k].weight) > 1e-2);
  }
}

TEST_CASE("where no Hadamard matrix exists quarot takes a random rotation and says so") {
  // Inputs of the published models have one: PixArt, DiT and SANA.
  for (const std::int64_t features : {1152, 4608, 2240, 5600, 2880}) CHECK(hadamard_exists(features));
  for (const std::int64_t features : {54, 56}) {
    OneSite network(features);
    WorkItem item;
    item.inputs["x"] = at::empty({6, features}, at::TensorOptions(at::kFloat));
    RandomStream stream(6, "x");
    for (std::int64_t i = 0; i < 6 * features; ++i)
      item.inputs["x"].data_ptr<float>()[i] = static_cast<float>(stream.normal());
    const at::Tensor before = network.run(item).named.at("y").clone();
    std::vector<std::string> warnings;
    MethodContext context = context_of(QuaRot::info(), Json::object());
    context.warn = [&warnings](const std::string& text) { warnings.push_back(text); };
    test::apply(*QuaRot::make(), network, context);
    CHECK(test::gap(network.run(item).named.at("y"), before) <= test::exact);
    REQUIRE(warnings.size() == (features == 54 ? 1 : 0));
    if (features == 54) CHECK(warnings[0].find("no Hadamard matrix of size 54") != std::string::npos);
  }
}

TEST_CASE("scales of smoothquant and svdquant go into the modulation where there is one") {
  const Source source = test::open_diffusion("pixart_tiny");
  if (!source) return;
  const auto smooth = changed_by(*SmoothQuant::make(), context_of(SmoothQuant::info(), Json::object()), source);
  const auto twin = make_diffusion_network(source);
  MethodContext svd = context_of(SvdQuant::info(), {{"rank", 4}, {"grid", 4}, {"rows", 64}});
  svd.quantization.weights.clip_search = false;
  const auto split = changed_by(*SvdQuant::make(), svd, source);
  std::size_t online = 0;
  for (std::size_t i = 0; i < twin->linear_sites().size(); ++i) {
    LinearSite* site = smooth->linear_sites()[i];
    CHECK(site->online() == nullptr);
    const double moved = test::gap(site->weights()[0].weight, twin->linear_sites()[i]->weights()[0].weight);
    CHECK((moved > 1e-2) == is_modulated(*site));
    LinearSite* other = split->linear_sites()[i];
    CHECK(other->low_rank() != nullptr);
    if (is_modulated(*other)) CHECK(other->online() == nullptr);
    online += other->online() != nullptr;
  }
  CHECK(online > 0);
}

TEST_CASE("weights of a diffusion transformer are rounded in groups, by rtn and by gptq") {
  for (const char* name : {"dit_tiny", "pixart_tiny", "sana_tiny"}) {
    const Source source = test::open_diffusion(name);
    if (!source) return;
    const test::FixtureItems items(*source, true);
    const at::Tensor expected = noise_of(*make_diffusion_network(source), items.item(0));
    const auto rounded = [&](bool gptq, double bits, std::int64_t group) {
      const auto network = make_diffusion_network(source);
      const auto quantizer = gptq ? WeightGptq::make() : WeightRtn::make();
      WeightContext context;
      context.spec.options = complete_options(gptq ? WeightGptq::info() : WeightRtn::info(), Json::object(), "weights");
      context.spec.bits = bits;
      context.spec.granularity = "group";
      context.spec.group_size = group;
      std::vector<BlockState> states{{network->enter(items.item(0)), {}}};
      context.calibration = &items;
      context.states = &states;
      for (std::size_t block = 0; block < network->blocks(); ++block) quantizer->quantize(*network, block, context);
      return test::gap(noise_of(*network, items.item(0)), expected);
    };
    // The linear attention of the tiny SANA divides by sums near zero: diffusers' own class moves by 0.08 of its
    // largest output when its weights are rounded to 8 bits, and by 0.0015 at 12.
    const double more = std::string(name) == "sana_tiny" ? 12 : 8;
    for (const bool gptq : {false, true})
      for (const std::int64_t group : {64, 16}) {  // 24, 60 and 96 inputs: groups that end short, or are all of a row
        const double coarse = rounded(gptq, 4, group), fine = rounded(gptq, more, group);
        INFO(name << (gptq ? " gptq " : " rtn ") << group << ": " << coarse << ", " << fine);
        CHECK(fine > 0);
        CHECK(fine < 0.05);
        CHECK(coarse > 4 * fine);
        CHECK(coarse < 0.7);
      }
  }
}
