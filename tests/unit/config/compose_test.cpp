#include "config/compose.h"

#include <fmt/format.h>

#include "base/text.h"
#include "fixture.h"
#include "support/catch.h"

using namespace stamp;
using namespace stamp::testing;

namespace {

std::string faults_of(const std::filesystem::path& path, const std::vector<std::string>& overrides = {}) {
  try {
    read_experiment(path, overrides, catalog());
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "";
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("pieces merge in order, the file itself last") {
  const Folder folder;
  folder.write("configs/model.yaml", "model: {path: weights/m.gguf, name: small}\ndata: {windows: 3}\n");
  folder.write("configs/bits.yaml",
               "quantization:\n  weights: {bits: 8, symmetric: false}\ndata: {context: 512, windows: 5}\n");
  const auto file = folder.write("experiments/x/sweep.yaml",
                                 "schema: 1\nextends: [../../configs/model.yaml, ../../configs/bits.yaml]\n"
                                 "quantization: {weights: {bits: 3}}\n");
  const Experiment e = read_experiment(file, {}, catalog());
  CHECK(e.name == "x");
  CHECK(e.base.data.windows == 5);  // later piece over earlier piece
  CHECK(e.base.data.context == 512);
  CHECK(e.base.quantization.weights.bits == 3);        // own file over pieces
  CHECK_FALSE(e.base.quantization.weights.symmetric);  // maps merge, they are not replaced
  CHECK(e.base.model.name == "small");
  CHECK(e.base.model.path ==
        (folder.path() / "configs/weights/m.gguf").string());  // relative to the file that holds it
}

TEST_CASE("a setting without effect is a warning where the file itself or --set says it, not where a piece does") {
  const Folder folder;
  folder.write("piece.yaml", "model: {path: m.gguf}\ncalibration: {samples: 4}\n");
  const auto file = folder.write("e.yaml", "schema: 1\nextends: piece.yaml\n");
  CHECK(read_experiment(file, {}, catalog()).warnings.empty());
  CHECK(read_experiment(file, {"calibration.samples=8"}, catalog()).warnings.size() == 1);
  folder.write("e.yaml", "schema: 1\nextends: piece.yaml\ncalibration: {samples: 2}\n");
  CHECK(read_experiment(file, {}, catalog()).warnings.size() == 1);
}

TEST_CASE("a value in a piece is reported at its own place") {
  const Folder folder;
  folder.write("piece.yaml", "model: {path: m.gguf}\n\nquantization: {method: rtm}\n");
  const auto file = folder.write("e.yaml", "extends: piece.yaml\n");
  CHECK(has(faults_of(file), "piece.yaml:3:24: quantization.method: the text \"rtm\""));
}

TEST_CASE("a cycle of extends is named") {
  const Folder folder;
  folder.write("a.yaml", "extends: [b.yaml]\nmodel: {path: m.gguf}\n");
  folder.write("b.yaml", "extends: [sub/c.yaml]\n");
  folder.write("sub/c.yaml", "extends: [../a.yaml]\n");
  const std::string message = faults_of(folder.path() / "a.yaml");
  CHECK(has(message, "c.yaml:1:11: extends: a cycle: "));
  CHECK(has(message, "a.yaml -> "));
  CHECK(has(message, "b.yaml -> "));
  CHECK(has(message, "c.yaml -> "));
  const auto self = folder.write("self.yaml", "extends: self.yaml\nmodel: {path: m.gguf}\n");
  CHECK(has(faults_of(self), "a cycle"));
}

TEST_CASE("one piece may be reached twice, and a tree of pieces ends") {
  const Folder folder;
  folder.write("base.yaml", "model: {path: m.gguf}\n");
  folder.write("l.yaml", "extends: base.yaml\ndata: {windows: 1}\n");
  folder.write("r.yaml", "extends: base.yaml\ndata: {context: 64}\n");
  const auto diamond = folder.write("d.yaml", "extends: [l.yaml, r.yaml]\n");
  CHECK(faults_of(diamond).empty());
  folder.write("p0.yaml", "model: {path: m.gguf}\n");
  for (int i = 1; i <= 40; ++i) {
    folder.write(fmt::format("p{}.yaml", i), fmt::format("extends: [p{0}.yaml, p{0}.yaml]\n", i - 1));
  }
  CHECK(has(faults_of(folder.path() / "p40.yaml"), "more than 200 pieces"));
}

TEST_CASE("faults of pieces: missing, folders, no maps, wrong types") {
  const Folder folder;
  std::filesystem::create_directories(folder.path() / "dir");
  folder.write("list.yaml", "- 1\n");
  folder.write("twice.yaml", "data: {windows: 1}\ndata: {windows: 2}\n");
  const auto file =
      folder.write("e.yaml", "model: {path: m}\nextends: [none.yaml, dir, list.yaml, 7, [x], twice.yaml]\n");
  const std::string message = faults_of(file);
  CHECK(has(message, "e.yaml:2:11: extends: "));
  CHECK(has(message, "none.yaml: no such file"));
  CHECK(has(message, "dir: is a folder"));
  CHECK(has(message, "list.yaml:1:1: a list; a map of settings is wanted"));
  CHECK(has(message, "e.yaml:2:38: extends: 7; a path to a YAML file"));
  CHECK(has(message, "e.yaml:2:41: extends: a list; a path to a YAML file"));
  CHECK(has(message, "twice.yaml:2:1: data: duplicate key"));
}

TEST_CASE("--set wins, is typed like the file, and says where it came from") {
  const std::string text = with("quantization: {weights: {bits: 4}}");
  CHECK(read(text, {"quantization.weights.bits=8"}).base.quantization.weights.bits == 8);
  CHECK(read(text, {"quantization.weights.bits=8", "quantization.weights.bits=3"}).base.quantization.weights.bits == 3);
  CHECK(read(text, {"quantization.activations.clip=1e-1"}).base.quantization.activations.clip == 0.1);
  CHECK(read(text, {"evaluate=[slot_error]"}).base.evaluate == std::vector<std::string>{"slot_error"});
  CHECK(read(text, {"quantization.weights={bits: 5, symmetric: false}"}).base.quantization.weights.bits == 5);
  CHECK(read(text, {"name=other"}).name == "other");
  CHECK(read(text, {"model.path=/models/x.gguf"}).base.model.path == "/models/x.gguf");
  CHECK(read(text, {"model.path=x.gguf"}).base.model.path == (std::filesystem::current_path() / "x.gguf").string());
  CHECK(faults(text, {"quantization.weights.bits=\"8\""}) ==
        "--set: quantization.weights.bits: the text \"8\"; an integer from 2 to 8, or 16 (off) (write it without "
        "quotes)");
  CHECK(has(faults(text, {"quantization.weights.bist=8"}), "--set: quantization.weights.bist: unknown key"));
  CHECK(has(faults(text, {"quantization.weights.bist=8"}), "(did you mean \"bits\"?)"));
  CHECK(has(faults(text, {"quantization.weights.bits"}), "path=value"));
  CHECK(has(faults(text, {"=8"}), "path=value"));
  CHECK(has(faults(text, {"a..b=8"}), "path=value"));
  CHECK(has(faults(text, {"quantization.weights.bits="}), "--set: quantization.weights.bits: nothing"));
  CHECK(has(faults(text, {"quantization.weights.bits=[4, 8]"}), "lists sweep only under sweep"));
  CHECK(has(faults(text, {"data.text=\"open"}), "--set data.text:"));
  CHECK(has(faults(text, {"quantization.weights=4"}), "--set: quantization.weights: 4; a map"));
}

TEST_CASE("--set with an empty map is refused: it would do nothing") {
  const std::string text = with("sweep: {axes: {quantization.method: [rtn, quarot]}}");
  for (const char* empty : {"sweep.axes={}", "sweep={}", "quantization={weights: {}}"}) {
    CAPTURE(empty);
    CHECK(has(faults(text, {empty}), "an empty map changes nothing"));
  }
  CHECK(faults(text, {"sweep.cells=[]"}).empty());
}

TEST_CASE("--set reaches the sweep, and does not silently lose against an axis") {
  const std::string text = with("sweep: {axes: {quantization.method: [rtn, quarot]}}");
  const Experiment e =
      read(text, {"sweep.axes.quantization.method=[smoothquant]", "sweep.axes.quantization.weights.bits=[3, 4]"});
  REQUIRE(e.axes.size() == 2);
  CHECK(e.axes[0].values.size() == 1);
  CHECK(e.axes[0].values[0].value == "smoothquant");
  CHECK(e.axes[1].path == "quantization.weights.bits");
  CHECK(has(faults(text, {"quantization.method=rtn"}), "--set: quantization.method: swept at e.yaml:3:16"));
}
