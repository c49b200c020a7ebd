#include "base/error.h"
#include "support/catch.h"
#include "support/message.h"
#include "support/scratch.h"
#include "sweep/shipped.h"

using namespace stamp;
using namespace stamp::test;

TEST_CASE("experiments go by the name of their run; pieces and expectations are none") {
  const Scratch dir;
  const fs::path folder = dir.path() / "experiments";
  spill(folder / "table" / "sweep.yaml", "schema: 1\nname: table\n");
  spill(folder / "table" / "expected.yaml", "schema: 1\nexpectations: []\n");
  spill(folder / "table" / "large.yaml", "schema: 1\nname: table_large\n");
  spill(folder / "table" / "parts.yaml", "schema: 1\nname: table_parts\n");
  spill(folder / "table" / "parts_expected.yaml", "schema: 1\nexpectations: []\n");
  spill(folder / "table" / "grid.yaml", "schema: 1\nsweep: {axes: {a: [1]}}\n");
  spill(folder / "table" / "README.md", "name: not an experiment\n");
  spill(folder / "broken" / "sweep.yaml", "a: [\n");
  spill(folder / "broken" / "more.yaml", "a: [\n");
  spill(folder / "notes.yaml", "schema: 1\nname: in_no_folder\n");
  const std::vector<ShippedExperiment> all = shipped_experiments(folder);
  std::vector<std::string> names;
  for (const ShippedExperiment& e : all) names.push_back(e.name);
  CHECK(names == std::vector<std::string>{"broken", "broken_more", "table", "table_large", "table_parts"});
  CHECK(find_shipped(all, "table", folder).file == folder / "table" / "sweep.yaml");
  CHECK(find_shipped(all, "table", folder).expected == folder / "table" / "expected.yaml");
  CHECK(find_shipped(all, "table_parts", folder).expected == folder / "table" / "parts_expected.yaml");
  CHECK(find_shipped(all, "table_large", folder).expected.empty());  // the folder's figures are another model's
}

TEST_CASE("an unknown experiment is answered with the nearest name and with all of them") {
  const std::vector<ShippedExperiment> all{{"quickstart", "a", ""}, {"leak", "b", ""}};
  std::string message;
  try {
    find_shipped(all, "quikstart", "experiments");
  } catch (const ConfigError& error) {
    message = error.what();
  }
  CHECK(message ==
        "experiments: no experiment \"quikstart\" (did you mean \"quickstart\"?); there are quickstart, leak");
  CHECK(lacks(data_error([] { shipped_experiments("no/such/folder"); }), "STAMP_EXPERIMENTS") == "");
}

TEST_CASE("the variable that a model's path waits for") {
  CHECK(unset_variable("${STAMP_LLAMA_3_8B}") == "STAMP_LLAMA_3_8B");
  CHECK(unset_variable("models/${NAME}/x.gguf") == "NAME");
  CHECK(unset_variable("models/x.gguf").empty());
  CHECK(unset_variable("${NAME").empty());
}

TEST_CASE("every experiment of this repository has a name of its own") {
  const std::vector<ShippedExperiment> all = shipped_experiments(fs::path(STAMP_SOURCE_DIR) / "experiments");
  CHECK(all.size() > 10);
  for (std::size_t i = 1; i < all.size(); ++i) {
    CAPTURE(all[i].file.string());
    CHECK(all[i].name != all[i - 1].name);  // sorted by name
  }
  const ShippedExperiment& quickstart = find_shipped(all, "quickstart", "experiments");
  CHECK(quickstart.expected.filename() == "expected.yaml");
}
