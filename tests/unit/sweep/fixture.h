// A catalog of invented plugins and experiments written as text: the sweep knows nothing of real ones.
#pragma once
#include <string>

#include "config/experiment.h"
#include "support/scratch.h"
#include "sweep/plan.h"

namespace stamp::test {

inline PluginInfo plugin(const std::string& name) {
  PluginInfo i;
  i.name = name;
  i.summary = name;
  return i;
}

inline const Catalog& invented_catalog() {
  static const Catalog catalog = [] {
    Catalog c;
    c.add(PluginKind::architecture, plugin("toy"));
    for (const char* name : {"identity", "haar", "picky"}) {
      PluginInfo i = plugin(name);
      if (i.name == "haar") {
        OptionInfo levels;
        levels.name = "levels";
        levels.type = OptionInfo::Type::integer;
        levels.min = 0;
        levels.max = 20;
        i.options = {levels};  // default: auto
      }
      if (i.name == "picky")
        i.refuse = [](const PlanFacts& f) {
          return f.tokens % 2 ? "it needs an even number of tokens, not " + std::to_string(f.tokens) : std::string();
        };
      c.add(PluginKind::sequence_transform, i);
    }
    for (const char* name : {"rtn", "smoothquant"}) {
      PluginInfo i = plugin(name);
      i.needs_calibration = i.name == "smoothquant";
      c.add(PluginKind::method, i);
    }
    c.add(PluginKind::weight_quantizer, plugin("rtn"));
    PluginInfo two = plugin("two_level");
    OptionInfo k;
    k.name = "high_tokens";
    k.type = OptionInfo::Type::integer;
    k.fallback = 8;
    k.min = 0;
    two.options = {k};
    two.refuse = [](const PlanFacts& f) {
      return integer_option(f.options, "high_tokens") > f.context ? std::string("high_tokens exceeds the context")
                                                                  : std::string();
    };
    c.add(PluginKind::allocator, two);
    c.add(PluginKind::metric, plugin("perplexity"));
    c.add(PluginKind::metric, plugin("slot_error"));
    c.add(PluginKind::metric, plugin("decode_perplexity"));
    for (const char* name : {"wikitext2-test", "wikitext2-train"}) c.add(PluginKind::text, plugin(name));
    return c;
  }();
  return catalog;
}

// The experiment with `sweep` below its `sweep:` key.
class Written {
 public:
  explicit Written(const std::string& sweep, const std::string& more = "") {
    spill(scratch_.path() / "e.yaml",
          "schema: 1\nname: toy\nmodel: {path: m.gguf, name: m}\ndata: {context: 64, windows: 2}\n" + more +
              "sweep:\n" + sweep);
  }
  Experiment read(const std::vector<std::string>& set = {}) const {
    return read_experiment(scratch_.path() / "e.yaml", set, invented_catalog());
  }
  Plan expand(const ExpandOptions& options = {}) const { return stamp::expand(read(), invented_catalog(), options); }
  const Scratch& scratch() const { return scratch_; }

 private:
  Scratch scratch_;
};

}  // namespace stamp::test
