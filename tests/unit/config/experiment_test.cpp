#include "config/experiment.h"

#include <cstdlib>

#include "base/text.h"
#include "fixture.h"
#include "support/catch.h"

using namespace stamp;
using namespace stamp::testing;

namespace {

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

PlacedValue value(Json json) {
  return {std::move(json), {"axis.yaml", 7, 3}};
}

const char* product_example = R"(schema: 1
name: llm_table2_smollm2
model: {path: smollm2.gguf}
data: {text: wikitext2-test, context: 2048, windows: 8}
calibration: {text: wikitext2-train, context: 2048, samples: 16, seed: 0}
quantization:
  method: rtn
  weights: {bits: 4, granularity: channel, symmetric: true, clip_search: true}
  activations: {bits: 4, granularity: token, symmetric: false, clip: 1.0}
  kv_cache: {bits: 4, granularity: head, transformed: true}
  sequence: {transform: haar, levels: auto, skip_first: 1}
  allocation: {kind: two_level, high_bits: 8, high_tokens: 64, pick: first}
evaluate: [perplexity, slot_error]
sweep:
  axes:
    quantization.method: [rtn, smoothquant, quarot]
    quantization.sequence.transform: [identity, haar, dct]
  zip: []                  # lists walked together
  cells: []                # single extra trials
  exclude:
    - {when: {quantization.method: smoothquant, quantization.sequence.transform: dct}, because: "not in the paper's table"}
  repeats: 1
table: {rows: quantization.method, columns: quantization.sequence.transform, value: perplexity, paper: stamp_table2.llama-3-8b}
)";

}  // namespace

TEST_CASE("the product's example reads, typed, without warnings") {
  const Experiment e = read(product_example);
  CHECK(e.warnings.empty());
  CHECK(e.name == "llm_table2_smollm2");
  CHECK(e.base.data.windows == 8);
  CHECK(e.base.quantization.sequence.transform == "haar");
  CHECK(e.base.quantization.sequence.options == Json({{"levels", nullptr}}));
  CHECK(e.base.quantization.allocation.options == Json({{"high_bits", 8}, {"high_tokens", 64}, {"pick", "first"}}));
  CHECK(e.base.quantization.method_options == Json::object());
  REQUIRE(e.axes.size() == 2);
  CHECK(e.axes[0].path == "quantization.method");
  CHECK(e.axes[0].place.text() == "e.yaml:16:5");
  REQUIRE(e.axes[1].values.size() == 3);
  CHECK(e.axes[1].values[2].value == "dct");
  CHECK(e.axes[1].values[2].place.text() == "e.yaml:17:55");
  REQUIRE(e.exclude.size() == 1);
  CHECK(e.exclude[0].because == "not in the paper's table");
  CHECK(e.table.rows == std::vector<std::string>{"quantization.method"});
  CHECK(e.table.paper == "stamp_table2.llama-3-8b");
}

TEST_CASE("apply gives typed trials; options of plugins follow the plugin") {
  const Experiment e = read(
      with("quantization: {sequence: {transform: haar, levels: 3}, smoothquant: {alpha: 0.85}}\n"
           "sweep: {axes: {quantization.method: [rtn, smoothquant], quantization.sequence.transform: [haar, dct]}}"));
  const TrialSpec base = apply(e, {});
  CHECK(base.quantization.sequence.options == Json({{"levels", 3}}));
  CHECK(base.quantization.method_options == Json::object());
  const TrialSpec smooth =
      apply(e, {{"quantization.method", value("smoothquant")}, {"quantization.sequence.transform", value("dct")}});
  CHECK(smooth.quantization.method_options == Json({{"alpha", 0.85}}));
  CHECK(smooth.quantization.sequence.options == Json::object());
  const TrialSpec stronger =
      apply(e, {{"quantization.method", value("smoothquant")}, {"quantization.smoothquant.alpha", value(0.5)}});
  CHECK(stronger.quantization.method_options == Json({{"alpha", 0.5}}));
}

TEST_CASE("a value that the active plugin refuses names the place of the value") {
  // 20 levels are fine for haar, not for coarse: only the trial knows.
  const Experiment e =
      read(with("quantization: {sequence: {transform: haar, levels: 20}}\n"
                "sweep: {axes: {quantization.sequence.transform: [haar, coarse]}}"));
  CHECK_NOTHROW(apply(e, {}));
  try {
    apply(e, {{"quantization.sequence.transform", value("coarse")}});
    FAIL("20 levels were accepted by coarse");
  } catch (const ConfigError& error) {
    CHECK(has(error.what(), "e.yaml:3:52: quantization.sequence.levels: 20; an integer from 1 to 3, for coarse"));
  }
  try {
    apply(e, {{"quantization.sequence.transform", value("coarse")}, {"quantization.sequence.levels", value(9)}});
    FAIL("9 levels were accepted by coarse");
  } catch (const ConfigError& error) {
    CHECK(has(error.what(), "axis.yaml:7:3: quantization.sequence.levels: 9"));
  }
  CHECK(has(faults(with("quantization: {sequence: {transform: coarse, levels: 20}}")),
            "an integer from 1 to 3, for coarse"));
  CHECK(has(faults(with("quantization: {sequence: {transform: coarse, levels: 31}}")),
            "e.yaml:3:54: quantization.sequence.levels: 31"));
}

TEST_CASE("models: names, paths, variables, sweeps over paths") {
  CHECK(read("model: {path: a/SmolLM2.Q4_0.gguf}\n").base.model.name == "SmolLM2.Q4_0");
  CHECK(read("model: {path: a/Llama-3.2-1B}\n").base.model.name == "Llama-3.2-1B");
  CHECK(read("model: {path: a/Llama-3.2-1B/}\n").base.model.name == "Llama-3.2-1B");
  CHECK(read("model: {path: /x/../y/m.gguf}\n").base.model.path == "/y/m.gguf");

  setenv("STAMP_TEST_MODELS", "/models", 1);
  unsetenv("STAMP_TEST_UNSET");
  CHECK(read("model: {path: \"${STAMP_TEST_MODELS}/llama.gguf\"}\n").base.model.path == "/models/llama.gguf");
  CHECK(read("model: {path: \"${STAMP_TEST_UNSET}/llama.gguf\"}\n").base.model.path ==
        "${STAMP_TEST_UNSET}/llama.gguf");
  CHECK(read("model: {path: \"${STAMP_TEST_UNSET}\", name: llama-3-8b}\n").base.model.name == "llama-3-8b");
  CHECK(read("model: {path: \"/a/$b/${/${}.gguf\"}\n").base.model.path == "/a/$b/${/${}.gguf");
  unsetenv("STAMP_TEST_MODELS");

  const Experiment e = read("model: {name: small}\nsweep: {axes: {model.path: [/a/one.gguf, /b/two.gguf]}}\n");
  CHECK(e.base.model.path.empty());
  CHECK(apply(e, {{"model.path", e.axes[0].values[0]}}).model.name == "one");  // or two models would share an id
  CHECK(apply(e, {{"model.path", e.axes[0].values[1]}, {"model.name", value("b")}}).model.name == "b");
  CHECK_THROWS_AS(apply(e, {}), ConfigError);

  CHECK(has(faults("schema: 1\n"), "e.yaml: model.path: missing"));
  CHECK(has(faults("model: {path: \"\"}\n"), "e.yaml:1:15: model.path: the text \"\"; a path"));
  CHECK_FALSE(has(faults("model: {pth: x}\n"), "missing"));  // told once
}

TEST_CASE("texts: known names stay, paths become absolute") {
  const Experiment e = read(with("data: {text: texts/a.raw}\ncalibration: {text: wikitext2-train}"));
  CHECK(e.base.data.text == (std::filesystem::current_path() / "texts/a.raw").string());
  CHECK(e.base.calibration.text == "wikitext2-train");
  CHECK(has(faults(with("data: {text: wikitext-2}")),
            "e.yaml:3:14: data.text: the text \"wikitext-2\"; a known text (wikitext2-test, wikitext2-train)"));
}

TEST_CASE("every fault is told, each with place, given, allowed and nearest") {
  const std::string message = faults(R"(schema: 2
model: {path: m.gguf, paht: x}
quantization:
  metod: rtn
  weights: {bits: "4", granularity: chanel, group_size: 010, group: 3}
  activations: {bits: [4, 8], clip: 0, symmetric: yes}
  sequence: {transform: harr, levels: 99, skip_first: -1}
  smoothquant: {alhpa: 3}
  kv_cache: 4
evaluate: perplexity
tabel: 3
data.context: 12
)");
  const std::vector<std::string> lines = split(message, '\n');
  const std::vector<std::string> expected = {
      "e.yaml:1:9: schema: 2; an integer from 1 to 1",
      "e.yaml:2:23: model.paht: unknown key; allowed here: path, name, streamed, rows_memory_gb (did you mean "
      "\"path\"?)",
      "e.yaml:4:3: quantization.metod: unknown key; allowed here: method, ",
      "e.yaml:5:19: quantization.weights.bits: the text \"4\"; an integer from 2 to 8, or 16 (off)",
      "e.yaml:5:37: quantization.weights.granularity: the text \"chanel\"; one of: channel, group (did you mean "
      "\"channel\"?)",
      "e.yaml:5:57: quantization.weights.group_size: 010; an integer from 1 to 65536 (a number with a leading zero",
      "e.yaml:5:62: quantization.weights.group: unknown key; ",
      "e.yaml:6:23: quantization.activations.bits: a list; an integer from 2 to 8, or 16 (off) (lists sweep only under "
      "sweep",
      "e.yaml:6:37: quantization.activations.clip: 0; a number above 0, up to 1",
      "e.yaml:6:51: quantization.activations.symmetric: the text \"yes\"; true or false",
      "e.yaml:7:25: quantization.sequence.transform: the text \"harr\"; one of: identity, haar, coarse, dct, klt (did "
      "you mean \"haar\"?)",
      "e.yaml:7:39: quantization.sequence.levels: 99; an integer from 1 to 30, or auto",
      "e.yaml:7:55: quantization.sequence.skip_first: -1; an integer from 0 to 1048576",
      "e.yaml:8:17: quantization.smoothquant.alhpa: unknown key; allowed here: alpha (did you mean \"alpha\"?)",
      "e.yaml:9:13: quantization.kv_cache: 4; a map",
      "e.yaml:10:11: evaluate: the text \"perplexity\"; a list of different names out of: perplexity, slot_error",
      "e.yaml:11:1: tabel: unknown key; ",
      "e.yaml:12:1: data.context: a key with a dot",
  };
  REQUIRE(lines.size() == expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    INFO(lines[i]);
    CHECK(lines[i].compare(0, expected[i].size(), expected[i]) == 0);
  }
}

TEST_CASE("messages stay short and harmless, whatever the file holds") {
  CHECK(has(faults(with("data: {text: \"" + std::string(100000, 'x') + "\"}")),
            "data.text: the text \"" + std::string(60, 'x') + "...\";"));
  CHECK(has(faults(with("data: {text: \"a\\e[31mb\"}")), "the text \"a [31mb\""));
  std::string many;
  for (int i = 0; i < 3000; ++i) many.append("k").append(std::to_string(i)).append(": 1\n");
  const std::string message = faults(with(many));
  CHECK(split(message, '\n').size() == 101);
  CHECK(has(message, "and 2900 more faults"));
}

TEST_CASE("files that are no maps, names that cannot name a folder") {
  CHECK(has(faults("- a\n- b\n"), "a list; a map of settings is wanted"));
  CHECK(has(faults("just text\n"), "a map of settings is wanted"));
  CHECK_FALSE(faults("").empty());
  CHECK(has(faults(with("name: a/b")), "e.yaml:3:7: name: the text \"a/b\"; letters, digits"));
  CHECK(has(faults(with("name: ..")), "e.yaml:3:7: name"));
  CHECK(has(faults(with("name: 12")), "(put it in quotes)"));
  CHECK(has(faults(with("schema: 1")), "duplicate key"));
  CHECK(read(with("name: a-b_c.2")).name == "a-b_c.2");
  CHECK(read(with("")).name == "e");
  // A file without `name` names the folder itself, by the same rule.
  const auto at = [](const std::string& path, const std::string& text) -> std::string {
    try {
      return parse_experiment(text, path, {}, catalog()).name;
    } catch (const ConfigError& error) {
      return error.what();
    }
  };
  CHECK(at("größe test.yaml", with("")).starts_with("größe test.yaml: name: missing, and \"größe test\""));
  CHECK(at("größe test.yaml", with("name: plain")) == "plain");
  CHECK(has(at("a b/sweep.yaml", with("")), "\"a b\", after the file"));
}

TEST_CASE("empty sections are nothing, empty values are faults") {
  CHECK(faults(with("quantization:")).empty());
  CHECK(faults(with("quantization: {weights: }")).empty());
  CHECK(has(faults(with("quantization: {weights: {bits: }}")), "quantization.weights.bits: nothing; an integer"));
}

TEST_CASE("a reusable piece may hold any subset and needs no model") {
  const Folder folder;
  CHECK(read_piece(folder.write("bits.yaml", "quantization: {weights: {bits: 3}}\n"), catalog())
            .base.quantization.weights.bits == 3);
  CHECK(read_piece(folder.write("model.yaml", "model: {path: m.gguf, name: m}\n"), catalog()).base.model.name == "m");
  CHECK_THROWS_AS(read_piece(folder.write("bad.yaml", "quantization: {weights: {bits: 33}}\n"), catalog()),
                  ConfigError);
}

TEST_CASE("reading opens neither models nor texts") {
  CHECK(faults("model: {path: /no/such/model.gguf}\ndata: {text: /no/such/text.txt}\n").empty());
}

TEST_CASE("an integer has no point and no exponent, and the message says what was written") {
  const char* bits = "quantization.weights.bits: 4.0; an integer from 2 to 8, or 16 (off) (write it as 4)";
  CHECK(has(faults(with("quantization: {weights: {bits: 4.0}}")), bits));
  CHECK(has(faults(with(""), {"quantization.weights.bits=4.0"}), bits));
  CHECK(has(faults(with("sweep: {axes: {quantization.weights.bits: [3, 4.0]}}")), bits));
  CHECK(has(faults(with("data: {context: 1e2}")), "data.context: 1e2; an integer from 2 to 1048576 (write it as 100)"));
  CHECK(has(faults(with("data: {context: 0.5}")), "data.context: 0.5; an integer from 2 to 1048576"));
  CHECK(faults(with("quantization: {activations: {clip: 1.0}}")).empty());
}
