#include "fake_model.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/relu.h>

#include <cmath>
#include <limits>
#include <new>

#include "base/seed.h"
#include "eval/register.h"
#include "methods/method.h"
#include "methods/rtn.h"
#include "support/toy_network.h"
#include "weights/register.h"

namespace stamp::test {

namespace {

at::Tensor gaussian(std::int64_t rows, std::int64_t columns, std::string_view purpose, double scale) {
  at::Tensor t = at::empty({rows, columns}, at::kFloat);
  RandomStream stream(7, purpose);
  float* values = t.mutable_data_ptr<float>();
  for (std::int64_t i = 0; i < t.numel(); ++i) values[i] = static_cast<float>(scale * stream.normal());
  return t;
}

SlotInfo slot(const char* name, SlotKind kind, std::int64_t features, std::int64_t heads) {
  SlotInfo info;
  info.name = name;
  info.kind = kind;
  info.features = features;
  info.heads = heads;
  return info;
}

class FakeNetwork : public ToyNetwork {
 public:
  FakeNetwork(std::shared_ptr<FakeCounters> counters, const FakeOptions& options)
      : counters_(std::move(counters)),
        options_(options),
        first_(slot("first.input", SlotKind::linear_input, fake_width, 1)),
        cache_(slot("middle.key_cache", SlotKind::key_cache, fake_cache, fake_heads)),
        second_(slot("second.input", SlotKind::linear_input, fake_hidden, 1)) {
    first_.weights().push_back({"first", gaussian(fake_hidden, fake_width, "first", 0.2), {}});
    second_.weights().push_back({"second", gaussian(fake_width, fake_hidden, "second", 0.15), {}});
  }
  std::vector<LinearSite*> linear_sites() override { return {&first_, &second_}; }
  std::vector<CacheSite*> cache_sites() override { return {&cache_}; }
  using ToyNetwork::pack;
  void pack(std::size_t) override {
    first_.pack();
    second_.pack();
  }
  at::Tensor enter(const WorkItem& item) override {
    ++counters_->runs;
    if (options_.no_memory) throw std::bad_alloc();
    return item.inputs.at("x");
  }
  void step(std::size_t, std::size_t k, BlockState& state, const WorkItem&) override {
    const Segments all = whole_sequence(state.residual.size(0));
    if (k == 0) {
      state.pending = state.residual;
    } else if (k == 1) {
      const at::Tensor hidden = first_.forward(std::move(state.pending), all)[0];
      at::Tensor cached = hidden.slice(1, 0, fake_cache).contiguous();
      cache_.process(cached, all);
      state.pending = at::relu(at::cat({cached, hidden.slice(1, fake_cache)}, 1));
    } else {
      state.residual = second_.forward(std::move(state.pending), all)[0];
    }
  }
  Outputs leave(at::Tensor out, const WorkItem&) override {
    if (options_.nan) out.fill_(std::numeric_limits<float>::quiet_NaN());
    Outputs outputs;
    outputs.named["token_nll"] = out.square().mean(1).slice(0, 1).contiguous();
    return outputs;
  }

 private:
  std::shared_ptr<FakeCounters> counters_;
  FakeOptions options_;
  LinearSite first_;
  CacheSite cache_;
  LinearSite second_;
};

// Rows of an AR(1) process with a few loud channels, so that a sequence transform has something to gain.
class FakeWorkload : public Workload {
 public:
  FakeWorkload(std::string name, std::int64_t count, std::int64_t tokens, std::uint64_t seed)
      : name_(std::move(name)), count_(count), tokens_(tokens), seed_(seed) {}
  std::int64_t count() const override { return count_; }
  std::int64_t tokens_per_item() const override { return tokens_; }
  WorkItem item(std::int64_t index) const override {
    at::Tensor x = at::empty({tokens_, fake_width}, at::kFloat);
    float* values = x.mutable_data_ptr<float>();
    RandomStream stream(seed_, name_, static_cast<std::uint64_t>(index));
    std::vector<double> state(fake_width, 0.0);
    for (std::int64_t t = 0; t < tokens_; ++t)
      for (std::int64_t j = 0; j < fake_width; ++j) {
        double& v = state[static_cast<std::size_t>(j)];
        v = 0.95 * v + std::sqrt(1 - 0.95 * 0.95) * stream.normal();
        values[t * fake_width + j] = static_cast<float>((j % 8 == 0 ? 10 : 1) * v);
      }
    WorkItem item;
    item.index = index;
    item.inputs["x"] = x;
    return item;
  }
  Json description() const override {
    return {{"name", name_},
            {"items", count_},
            {"tokens", tokens_},
            {"seed", seed_},
            {"digest", "digest of " + name_},
            {"path", "/somewhere/" + name_}};
  }
  std::string protocol() const override { return name_ + " " + std::to_string(tokens_); }

 private:
  std::string name_;
  std::int64_t count_, tokens_;
  std::uint64_t seed_;
};

class FakeModel : public Model {
 public:
  FakeModel(std::shared_ptr<FakeCounters> counters, FakeOptions options)
      : counters_(std::move(counters)), options_(std::move(options)) {
    ++counters_->opened;
  }
  Json description() const override {
    return {{"name", "fake"}, {"digest", options_.digest}, {"parameters", 2304}, {"path", "/somewhere/fake"}};
  }
  std::unique_ptr<Network> build(bool) const override {
    ++counters_->built;
    return std::make_unique<FakeNetwork>(counters_, options_);
  }
  std::unique_ptr<Workload> workload(const DataSpec& d) const override {
    return std::make_unique<FakeWorkload>(d.text, d.windows, d.context, 1);
  }
  std::unique_ptr<Workload> workload(const CalibrationSpec& c) const override {
    return std::make_unique<FakeWorkload>(c.text, c.samples, c.context, c.seed);
  }
  // Sequences as long as the task's name.
  std::unique_ptr<Workload> questions(const ZeroShotSpec& z, const std::string& task) const override {
    return std::make_unique<FakeWorkload>(task, z.items, static_cast<std::int64_t>(task.size()), 3);
  }

 private:
  std::shared_ptr<FakeCounters> counters_;
  FakeOptions options_;
};

struct Halve {
  static PluginInfo info() {
    PluginInfo i;
    i.name = "halve";
    i.needs_calibration = true;
    return i;
  }
};

struct HalveRun : MethodRun {
  Network& network;
  MethodContext context;
  HalveRun(Network& n, MethodContext c) : network(n), context(std::move(c)) {}
  void block(std::size_t index) override {
    LinearSite* site = network.block_sites(index).front();
    const std::vector<float> maxima = context.channel_maxima(site->info().name);
    float* w = site->weights()[0].weight.mutable_data_ptr<float>();
    for (std::int64_t m = 0; m < fake_hidden; ++m)
      for (std::int64_t j = 0; j < fake_width; ++j)
        w[m * fake_width + j] *= maxima[static_cast<std::size_t>(j)] > 5 ? 0.5f : 1.0f;
    context.warn("halved");
  }
};

class HalveMethod : public Method {
 public:
  std::unique_ptr<MethodRun> start(Network& network, const MethodContext& context) const override {
    return std::make_unique<HalveRun>(network, context);
  }
};

}  // namespace

std::unique_ptr<Model> fake_model(std::shared_ptr<FakeCounters> counters, const FakeOptions& options) {
  return std::make_unique<FakeModel>(std::move(counters), options);
}

SessionOptions fake_session(std::shared_ptr<FakeCounters> counters, const fs::path& cache, const FakeOptions& options) {
  SessionOptions s;
  s.plugins.open_model = [counters, options](const ModelSpec& spec) {
    if (spec.path == "absent") throw DataError("absent: no such file");
    return fake_model(counters, options);
  };
  s.plugins.methods = {{Rtn::info(), [] { return Rtn::make(); }},
                       {Halve::info(), []() -> std::unique_ptr<Method> { return std::make_unique<HalveMethod>(); }}};
  for_each_metric([&]<class T>() {
    s.plugins.metrics.push_back({T::info(), [](const EvaluatorContext& context) { return T::make(context); }});
  });
  for_each_weight_quantizer([&]<class T>() {
    s.plugins.weight_quantizers.push_back({T::info(), [] { return T::make(); }});
  });
  s.cache_folder = cache;
  s.gemm = torch_gemm;
  return s;
}

Json haar_options(int levels) {
  return {{"levels", levels}};
}

TrialSpec fake_trial() {
  TrialSpec t;
  t.model.path = t.model.name = "fake";
  t.data.text = "evaluation";
  t.data.context = 64;
  t.data.windows = 2;
  t.calibration.text = "calibration";
  t.calibration.context = 64;
  t.calibration.samples = 3;
  t.quantization.sequence.options = haar_options(3);
  t.quantization.allocation.options = {{"high_bits", 8.0}, {"high_tokens", 8}, {"pick", "first"}};
  return t;
}

}  // namespace stamp::test
