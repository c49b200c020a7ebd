// What docs/extending.md says follows from the registration line.
#include "config/experiment.h"
#include "quant/allocation.h"
#include "support/catch.h"
#include "support/matrices.h"
#include "support/scratch.h"
#include "sweep/plan.h"
#include "transforms/sequence_transform.h"

using namespace stamp;

namespace {

PluginInfo named(const std::string& name) {
  PluginInfo info;
  info.name = name;
  return info;
}

Catalog catalog() {
  Catalog c;
  for (const auto& p : sequence_transforms()) c.add(PluginKind::sequence_transform, p.info);
  for (const auto& p : allocators()) c.add(PluginKind::allocator, p.info);
  c.add(PluginKind::method, named("rtn"));
  c.add(PluginKind::weight_quantizer, named("rtn"));
  c.add(PluginKind::metric, named("perplexity"));
  c.add(PluginKind::metric, named("slot_error"));
  c.add(PluginKind::text, named("wikitext2-test"));
  c.add(PluginKind::text, named("wikitext2-train"));
  return c;
}

class Page {
 public:
  explicit Page(const std::string& sequence, const std::string& context = "2048") {
    test::spill(file(), "model: {path: model.gguf}\ndata: {context: " + context +
                            "}\nquantization:\n  sequence: " + sequence + "\n");
  }
  Experiment read() const { return read_experiment(file(), {}, catalog_); }
  std::string fault() const {
    try {
      read();
    } catch (const ConfigError& e) {
      return e.what();
    }
    return "";
  }
  const Catalog& plugins() const { return catalog_; }

 private:
  std::filesystem::path file() const { return scratch_.path() / "page.yaml"; }
  test::Scratch scratch_;
  Catalog catalog_ = catalog();
};

bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("the page's transform can be named in an experiment, with its option") {
  const Page page("{transform: hartley, order: natural}");
  const TrialSpec trial = page.read().base;
  CHECK(trial.quantization.sequence.transform == "hartley");
  CHECK(trial.quantization.sequence.options["order"] == "natural");
  // The option is part of a trial's identity, its default too.
  CHECK(trial_id(trial, page.plugins()) != trial_id(Page("{transform: hartley}").read().base, page.plugins()));
  CHECK(trial_id(Page("{transform: hartley, order: low_first}").read().base, page.plugins()) ==
        trial_id(Page("{transform: hartley}").read().base, page.plugins()));
}

TEST_CASE("slips are told with place and nearest name") {
  const std::string name = Page("{transform: hartly}").fault();
  CHECK(holds(name, "page.yaml:4:25"));
  CHECK(holds(name, "did you mean \"hartley\""));
  const std::string option = Page("{transform: hartley, order: low}").fault();
  CHECK(holds(option, "page.yaml:4:41"));
  CHECK(holds(option, "low_first, natural"));
}

TEST_CASE("what it cannot do is an explained exclusion") {
  const Page page("{transform: hartley}", "16384");
  const Plan plan = expand(page.read(), page.plugins());
  CHECK(plan.trials.empty());
  REQUIRE(plan.excluded.size() == 1);
  CHECK(holds(plan.excluded[0].because, "at most 8192 tokens and gets 16383; use dct"));
}

TEST_CASE("the reference tables list it") {
  const Catalog plugins = catalog();
  const std::string tables = plugins_markdown(Schema(plugins));
  CHECK(holds(tables, "hartley"));
  CHECK(holds(tables, "low frequencies first, which two-level bits need"));
}

TEST_CASE("it concentrates a smooth sequence in its first rows, in the order low_first only") {
  constexpr std::int64_t s = 256, k = 16;
  test::Matrix walk(s, 8);
  RandomStream stream(3, "walk");
  for (std::int64_t j = 0; j < 8; ++j) {
    double level = 0;  // AR(1), correlation 0.95
    for (std::int64_t i = 0; i < s; ++i) walk.at(i, j) = static_cast<float>(level = 0.95 * level + stream.normal());
  }
  const auto share = [&](const char* order) {
    SequenceTransformRequest request;
    request.tokens = s;
    request.options["order"] = order;
    test::Matrix t = walk;
    transform_forward(*make_sequence_transform("hartley", request), t.view());
    double first = 0, all = 0;
    for (std::int64_t i = 0; i < s; ++i)
      for (std::int64_t j = 0; j < 8; ++j)
        (i < k ? first : all) += static_cast<double>(t.at(i, j)) * static_cast<double>(t.at(i, j));
    return first / (first + all);
  };
  // Of the process's spectrum 2/pi atan(39 tan(pi/32)) = 0.84 lies in the frequencies that the first 16 rows hold;
  // without a transform 16 of 256 rows have 0.06.
  CHECK(share("low_first") > 0.6);
  CHECK(share("low_first") > share("natural") + 0.1);
}
