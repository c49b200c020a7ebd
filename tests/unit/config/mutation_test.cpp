// Deterministic fuzzing: whatever is in an experiment file, reading it ends in an experiment or in a ConfigError.
#include "base/seed.h"
#include "config/yaml.h"
#include "fixture.h"
#include "support/catch.h"

using namespace stamp;
using namespace stamp::testing;

namespace {

const std::vector<std::string>& seeds() {
  static const std::vector<std::string> texts = {
      "schema: 1\nname: x\nmodel: {path: m.gguf}\ndata: {text: wikitext2-test, context: 2048, windows: "
      "8}\nquantization:\n"
      "  method: rtn\n  weights: {bits: 4, granularity: channel, symmetric: true}\n  sequence: {transform: haar, "
      "levels: auto}\n"
      "  allocation: {kind: two_level, high_bits: 8, pick: first}\nevaluate: [perplexity, slot_error]\nsweep:\n  "
      "axes:\n"
      "    quantization.method: [rtn, smoothquant]\n  zip:\n    - {quantization.weights.bits: [3, 4], data.context: "
      "[64, 128]}\n"
      "  cells:\n    - {quantization.method: quarot}\n  exclude:\n    - {when: {quantization.method: rtn}, because: "
      "\"no\"}\n"
      "table: {rows: quantization.method, value: perplexity}\n",
      "model:\n  path: 'it''s.gguf'\n  name: \"tab\\t\\u00e9\"\nquantization:\n  activations:\n    clip: 1e-1\n  "
      "smoothquant:\n    alpha: .5\n",
      "? model\n: path: |\n    a\n    b\n# c\ndata: \n  text: >-\n    x.raw\n",
      "extends: [a.yaml, ${HOME}]\nmodel: &a {path: *a}\nsweep: {axes: {<<: 1}}\n--- !!map\n...\n",
  };
  return texts;
}

const std::vector<std::string>& pieces() {
  static const std::vector<std::string> texts = {"[",
                                                 "]",
                                                 "{",
                                                 "}",
                                                 ": ",
                                                 ", ",
                                                 "- ",
                                                 "\n",
                                                 "\n  ",
                                                 "\t",
                                                 "'",
                                                 "\"",
                                                 "#",
                                                 "&a ",
                                                 "*a",
                                                 "!!int ",
                                                 "|",
                                                 ">",
                                                 "? ",
                                                 "---\n",
                                                 "...\n",
                                                 "%YAML 1.2\n",
                                                 "\0",
                                                 "\xff",
                                                 "\xc3\xa9",
                                                 "\xef\xbb\xbf",
                                                 "010",
                                                 "1e999",
                                                 "-",
                                                 "~",
                                                 "null",
                                                 "true",
                                                 "99999999999999999999",
                                                 "sweep:",
                                                 "quantization:",
                                                 "\\",
                                                 "\\x",
                                                 "\\u12",
                                                 "%",
                                                 "@",
                                                 "`",
                                                 "<<: ",
                                                 "model.path",
                                                 "${A}",
                                                 "\r\n",
                                                 "\xe2\x80\xa8"};
  return texts;
}

std::string mutate(RandomStream& random) {
  std::string text = seeds()[random.below(seeds().size())];
  const std::uint64_t changes = 1 + random.below(3);
  for (std::uint64_t i = 0; i < changes; ++i) {
    const std::size_t at = random.below(text.size() + 1);
    switch (random.below(6)) {
      case 0: text.insert(at, pieces()[random.below(pieces().size())]); break;
      case 1: text.erase(at, 1 + random.below(8)); break;
      case 2:
        if (at < text.size()) text[at] = static_cast<char>(random.below(256));
        break;
      case 3: text.resize(at); break;
      case 4: text.insert(at, text.substr(random.below(text.size() + 1), random.below(40))); break;
      default: {
        const std::string other = seeds()[random.below(seeds().size())];
        text = text.substr(0, at) + other.substr(random.below(other.size()));
      }
    }
    if (text.empty()) text.push_back(':');
  }
  return text;
}

}  // namespace

TEST_CASE("the texts that are mutated are good ones, but for the last") {
  for (std::size_t i = 0; i + 1 < seeds().size(); ++i) {
    INFO(seeds()[i]);
    CHECK(faults(seeds()[i]) == "");
  }
  CHECK(faults(seeds().back()) != "");
}

TEST_CASE("mutated experiment files are read or refused, never worse") {
  int read_well = 0, refused = 0;
  for (std::uint64_t i = 0; i < 20000; ++i) {
    RandomStream random(7, "config mutation", i);
    const std::string text = mutate(random);
    INFO("mutation " << i << ":\n" << text);
    try {
      const Experiment e = read(text);
      if (!e.base.model.path.empty()) {
        // What was accepted is consistent: its trial survives its own canonical text.
        const TrialSpec t = apply(e, {});
        const Json json = canonical(t, *e.schema);
        REQUIRE(canonical(trial_from_json(json, *e.schema), *e.schema) == json);
      }
      ++read_well;
    } catch (const ConfigError& e) {
      REQUIRE(std::string(e.what()).find("e.yaml") != std::string::npos);
      ++refused;
    }
  }
  // Both ends must be reached again and again, or the mutations test nothing.
  CHECK(read_well > 100);
  CHECK(refused > 100);
}

TEST_CASE("every prefix of a good file is read or refused") {
  for (const std::string& text : seeds()) {
    for (std::size_t n = 0; n <= text.size(); ++n) {
      try {
        read(text.substr(0, n));
      } catch (const ConfigError&) {
      }
    }
  }
  SUCCEED("no other exception");
}

TEST_CASE("random bytes are refused") {
  for (std::uint64_t i = 0; i < 2000; ++i) {
    RandomStream random(8, "config bytes", i);
    std::string text;
    for (std::uint64_t n = random.below(300); n > 0; --n)
      text += static_cast<char>(random.below(i % 2 == 0 ? 256 : 128));
    INFO("bytes " << i);
    CHECK_THROWS_AS(read(text), ConfigError);
  }
}
