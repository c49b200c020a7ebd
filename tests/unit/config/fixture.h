// A small catalog of made-up and familiar plugins, temporary files, and the faults of a text.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "config/experiment.h"
#include "support/scratch.h"

namespace stamp::testing {

inline OptionInfo option(const std::string& name, OptionInfo::Type type, Json fallback, double min, double max) {
  OptionInfo o;
  o.name = name;
  o.type = type;
  o.fallback = std::move(fallback);
  o.min = min;
  o.max = max;
  o.help = "help of " + name;
  return o;
}

inline PluginInfo plugin(const std::string& name, std::vector<OptionInfo> options = {}, bool calibrated = false) {
  PluginInfo p;
  p.name = name;
  p.summary = "summary of " + name;
  p.source = "somewhere";
  p.cost = "little";
  p.options = std::move(options);
  p.needs_calibration = calibrated;
  return p;
}

// haar and coarse both have `levels`, with different ranges; klt and smoothquant need calibration.
inline Catalog fake_catalog() {
  using Type = OptionInfo::Type;
  OptionInfo pick;
  pick.name = "pick";
  pick.type = Type::choice;
  pick.fallback = "first";
  pick.choices = {"first", "magnitude", "energy"};
  pick.help = "which tokens";
  Catalog c;
  c.add(PluginKind::method, plugin("rtn"));
  c.add(PluginKind::method, plugin("smoothquant", {option("alpha", Type::real, 0.5, 0, 1)}, true));
  c.add(PluginKind::method, plugin("quarot", {option("seed", Type::integer, 0, 0, 1e9)}));
  c.add(PluginKind::weight_quantizer, plugin("rtn"));
  c.add(PluginKind::weight_quantizer, plugin("gptq", {option("damping", Type::real, 0.01, 0, 1)}, true));
  c.add(PluginKind::sequence_transform, plugin("identity"));
  c.add(PluginKind::sequence_transform, plugin("haar", {option("levels", Type::integer, Json(), 1, 30)}));
  c.add(PluginKind::sequence_transform, plugin("coarse", {option("levels", Type::integer, 2, 1, 3)}));
  c.add(PluginKind::sequence_transform, plugin("dct"));
  c.add(PluginKind::sequence_transform, plugin("klt", {}, true));
  c.add(PluginKind::allocator, plugin("uniform"));
  c.add(PluginKind::allocator, plugin("two_level", {option("high_bits", Type::integer, 8, 2, 16),
                                                    option("high_tokens", Type::count, 64, 0, 1e6), pick}));
  c.add(PluginKind::allocator, plugin("optimal", {option("average_bits", Type::real, 4.125, 1, 16)}, true));
  c.add(PluginKind::metric, plugin("perplexity"));
  c.add(PluginKind::metric, plugin("slot_error"));
  c.add(PluginKind::metric, plugin("decode_perplexity"));
  PluginInfo zero_shot = plugin("zero_shot");
  zero_shot.reads = "zero_shot";
  c.add(PluginKind::metric, zero_shot);
  for (const char* task : {"piqa", "hellaswag", "arc_easy", "arc_challenge", "winogrande", "lambada", "boolq"})
    c.add(PluginKind::task, plugin(task));
  c.add(PluginKind::text, plugin("wikitext2-test"));
  c.add(PluginKind::text, plugin("wikitext2-train"));
  return c;
}

inline const Catalog& catalog() {
  static const Catalog c = fake_catalog();
  return c;
}

inline const Schema& schema() {
  static const Schema s(catalog());
  return s;
}

// A fresh folder that says where it wrote.
class Folder : public test::Scratch {
 public:
  std::filesystem::path write(const std::string& name, const std::string& text) const {
    const std::filesystem::path file = path() / name;
    test::spill(file, text);
    return file;
  }
};

inline Experiment read(const std::string& text, const std::vector<std::string>& overrides = {}) {
  return parse_experiment(text, "e.yaml", overrides, catalog());
}

// The faults of an experiment text, "" when there are none.
inline std::string faults(const std::string& text, const std::vector<std::string>& overrides = {}) {
  try {
    read(text, overrides);
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "";
}

// The whole experiment with one more line: what stands in `line` is line 3 of the file.
inline std::string with(const std::string& line) {
  return "schema: 1\nmodel: {path: m.gguf}\n" + line + "\n";
}

}  // namespace stamp::testing
