#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "sandbox.h"
#include "support/catch.h"

using namespace stamp;
using namespace stamp::test;

namespace {

Json data_in(const std::string& page) {
  const std::string open = "id=\"stamp-data\">";
  const std::size_t from = page.find(open);
  REQUIRE(from != std::string::npos);
  return Json::parse(page.substr(from + open.size(), page.find("</script>", from) - from - open.size()));
}

void sleep_ms(int ms) {
  ::usleep(static_cast<useconds_t>(ms) * 1000);
}

}  // namespace

TEST_CASE("report writes one page into the run folder, and to stdout on request") {
  const Sandbox box;
  REQUIRE(box.stamp({"run", "experiment.yaml"}).code == 0);
  const Ended written = box.stamp({"report", "runs/tiny"});
  INFO(written.err);
  CHECK(written.code == 0);
  CHECK(written.out.empty());
  const std::string page = slurp(box.run_folder() / "report.html");
  const Json data = data_in(page);
  REQUIRE(data["runs"].size() == 1);
  CHECK(data["runs"][0]["counts"]["done"] == box.ids().size());
  CHECK(data["runs"][0]["heat"]["kinds"][0] == "mlp.down_proj");
  const Ended shown = box.stamp({"report", "runs", "--output", "-"});  // a folder of run folders
  CHECK(shown.code == 0);
  CHECK(data_in(shown.out)["runs"].size() == 1);
}

TEST_CASE("report writes behind a link and through a device, and leaves both as they are") {
  const Sandbox box;
  REQUIRE(box.stamp({"run", "experiment.yaml"}).code == 0);
  std::filesystem::create_symlink("page.html", box.path() / "link");
  CHECK(box.stamp({"report", "runs/tiny", "--output", "link"}).code == 0);
  CHECK(std::filesystem::is_symlink(box.path() / "link"));
  CHECK(data_in(slurp(box.path() / "page.html"))["runs"].size() == 1);
  const Ended out = box.stamp({"report", "runs/tiny", "--output", "/dev/stdout"});
  CHECK(out.code == 0);
  CHECK(data_in(out.out)["runs"].size() == 1);
  if (std::filesystem::exists("/dev/full")) {
    CHECK(box.stamp({"report", "runs/tiny", "--output", "/dev/full"}).code == 5);
    CHECK(std::filesystem::is_character_file("/dev/full"));
  }
}

TEST_CASE("a report of a run with failed trials and a torn line shows both, and is no failure itself") {
  const Sandbox box;
  REQUIRE(box.stamp({"run", "experiment.yaml"}).code == 0);
  const std::string id = box.ids().front();
  {
    Record failed = *box.records().find(id);
    failed.status = "failed";
    failed.metrics.clear();
    failed.failure = Failure{"nan_metric", "perplexity is <nan>", "evaluate"};
    RunStore(box.run_folder()).append(failed);
  }
  std::ofstream(box.run_folder() / "records.jsonl", std::ios::app) << "{\"schema\": 1, \"id\"";
  const Ended made = box.stamp({"report", "runs/tiny", "--output", "page.html"});
  CHECK(made.code == 0);
  CHECK(contains(made.err, "torn"));
  const std::string page = slurp(box.path() / "page.html");
  CHECK(contains(page, "the last line is torn"));
  CHECK(contains(page, "perplexity is &lt;nan&gt;"));
  CHECK(data_in(page)["runs"][0]["counts"]["failed"] == 1);
}

TEST_CASE("report takes in figures of the records that are there, and names those of earlier ones") {
  const Sandbox box;
  REQUIRE(box.stamp({"run", "experiment.yaml"}).code == 0);
  // A script that draws what there are data for.
  box.write("scripts/plot.py",
            "import pathlib, sys\nfolder = pathlib.Path(sys.argv[1])\nfor data in folder.glob('*.csv'):\n"
            "    data.with_suffix('.png').write_bytes(b'drawn from ' + str(len(data.read_text())).encode())\n");
  const std::map<std::string, std::string> scripts{{"STAMP_SCRIPTS", (box.path() / "scripts").string()}};
  const auto page = [&] { return box.stamp({"report", "runs/tiny", "--output", "-"}); };
  const auto figures = [](const Ended& made) { return count(made.out, "as stamp plot drew it"); };
  REQUIRE(box.stamp({"plot", "runs/tiny"}, scripts).code == 0);
  CHECK(figures(page()) == 3);  // perplexity, bound, energy
  CHECK_FALSE(contains(page().out, "Left out:"));
  REQUIRE(box.stamp({"plot", "runs/tiny", "--data-only"}).code == 0);  // nothing has changed: nor have the files
  CHECK(figures(page()) == 3);

  // Another experiment in the folder; its trials are among the old ones, so no record is newer than the figures.
  std::string text = experiment_text;
  text.replace(text.find("identity, haar, dct"), 19, "identity, haar");
  box.write("experiment.yaml", text);
  REQUIRE(box.stamp({"run", "experiment.yaml"}).code == 0);
  const Ended stale = page();
  CHECK(stale.code == 0);
  CHECK(figures(stale) == 0);
  CHECK(contains(stale.out, "<b>Left out:</b> bound, energy, perplexity."));
  CHECK(contains(stale.err, "run stamp plot again"));
  // The data alone do not make the figures new.
  REQUIRE(box.stamp({"plot", "runs/tiny", "--data-only"}).code == 0);
  for (const char* name : {"bound", "energy", "perplexity"}) {
    const std::filesystem::path picture = box.run_folder() / "plots" / (std::string(name) + ".png");
    std::filesystem::last_write_time(picture, std::filesystem::last_write_time(picture) - std::chrono::minutes(1));
  }
  CHECK(figures(page()) == 0);
  // Of a model that is no longer there: goes when everything is drawn again.
  box.write("runs/tiny/plots/images-3.png", "old");
  box.write("runs/tiny/plots/images.csv", "id\n");
  REQUIRE(box.stamp({"plot", "runs/tiny"}, scripts).code == 0);
  CHECK(figures(page()) == 3);
  CHECK_FALSE(contains(page().out, "Left out:"));
  CHECK_FALSE(std::filesystem::exists(box.run_folder() / "plots" / "images.csv"));
  CHECK_FALSE(std::filesystem::exists(box.run_folder() / "plots" / "images-3.png"));
}

TEST_CASE("report reads committed results as they are, leaves them so, and puts several runs under an overview") {
  const Sandbox box;
  REQUIRE(box.stamp({"run", "experiment.yaml"}).code == 0);
  box.write("results/packed/plan.json", slurp(box.run_folder() / "plan.json"));
  box.write("results/packed/records.jsonl", slurp(box.run_folder() / "records.jsonl"));
  const std::string packed = (box.path() / "results/packed").string();
  REQUIRE(std::system(fmt::format("gzip {0}/plan.json {0}/records.jsonl", packed).c_str()) == 0);
  box.write("results/packed/plots/bound.png", "of other times");  // committed with its records, and taken so
  const Ended made = box.stamp({"report", "results/packed"});
  INFO(made.err);
  CHECK(made.code == 0);
  CHECK(contains(slurp(box.path() / "report.html"), "bound, as stamp plot drew it"));
  CHECK_FALSE(std::filesystem::exists(box.path() / "results/packed/report.html"));
  const Json alone = data_in(slurp(box.path() / "report.html"));
  CHECK(alone["runs"][0]["heat"]["kinds"][0] == "mlp.down_proj");  // slots are read too
  CHECK_FALSE(alone.contains("overview"));
  const Ended both = box.stamp({"report", "runs/tiny", "results", "--output", "-"});  // a folder of committed results
  CHECK(both.code == 0);
  const Json data = data_in(both.out);
  REQUIRE(data["runs"].size() == 2);
  REQUIRE(data["overview"]["runs"].size() == 2);
  const Json& tables = data["overview"]["tables"];
  REQUIRE(tables.size() == 1);
  CHECK(tables[0]["columns"].size() == 2);
  for (const Json& row : tables[0]["rows"]) CHECK(row["cells"][0]["value"] == row["cells"][1]["value"]);
}

TEST_CASE("report refuses folders that are no run folders, and says when it cannot write") {
  const Sandbox box;
  CHECK(box.stamp({"report", "nowhere"}).code == 6);
  CHECK(box.stamp({"report"}).code == 2);
  REQUIRE(box.stamp({"run", "experiment.yaml"}).code == 0);
  CHECK(box.stamp({"report", "runs/tiny", "--output", "no/such/folder/page.html"}).code == 5);
}

TEST_CASE("explain tells of a planned trial, of one in a folder, and of an experiment file's") {
  const Sandbox box;
  REQUIRE(box.stamp({"run", "experiment.yaml"}).code == 0);
  const std::string id = box.ids().back();
  const Ended text = box.stamp({"explain", "runs/tiny/" + id});
  INFO(text.err);
  CHECK(text.code == 0);
  CHECK(contains(text.out, "attention.qkv_proj"));
  CHECK(contains(text.out, "quantizer"));
  CHECK(box.stamp({"explain", id.substr(0, 8), "--run", "runs/tiny"}).out == text.out);
  const Ended json = box.stamp({"explain", id, "experiment.yaml", "--format", "json"});
  INFO(json.err);
  CHECK(json.code == 0);
  CHECK(Json::parse(json.out)["slots"].size() == 6);
  CHECK(contains(box.stamp({"explain", id, "experiment.yaml", "--format", "svg"}).out, "</svg>"));
  const Ended unknown = box.stamp({"explain", "zzzz", "experiment.yaml"});
  CHECK(unknown.code == 2);
  CHECK(contains(unknown.err, id));
  CHECK(box.stamp({"explain", "runs/tiny"}).code == 2);
  CHECK(box.stamp({"explain", id, "experiment.yaml", "--run", "runs/tiny"}).code == 2);
}

TEST_CASE("watch follows a sweep line by line and ends with it") {
  const Sandbox box;
  const pid_t sweep = box.start({"run", "experiment.yaml"}, {{"FAKE_DELAY_MS", "300"}});
  for (int i = 0; i < 300 && !std::filesystem::exists(box.run_folder() / "running.json"); ++i) sleep_ms(10);
  const Ended watched = box.stamp({"watch", "runs/tiny", "--interval", "0.1"});
  INFO(watched.out + watched.err);
  CHECK(watched.code == 0);
  CHECK(box.wait(sweep).code == 0);
  const std::string all = std::to_string(box.ids().size());
  CHECK(contains(watched.out, "; at "));
  CHECK(contains(watched.out, all + "/" + all + " done; ended"));
  CHECK(watched.out.find('\033') == std::string::npos);
}

TEST_CASE("watch of a sweep that was stopped ends with 130, of one with failed trials with 3, of none with 6") {
  const Sandbox box;
  CHECK(box.stamp({"watch", "runs/tiny"}).code == 6);
  const pid_t sweep = box.start({"run", "experiment.yaml"}, {{"FAKE_DELAY_MS", "400"}});
  for (int i = 0; i < 300 && !std::filesystem::exists(box.run_folder() / "running.json"); ++i) sleep_ms(10);
  const pid_t watcher = box.start({"watch", "runs/tiny", "--interval", "0.05"});
  sleep_ms(200);
  ::kill(sweep, SIGINT);
  CHECK(box.wait(sweep).code == 130);
  CHECK(box.wait(watcher).code == 130);
  CHECK(box.stamp({"watch", "runs/tiny"}).code == 130);  // begun after the stop
  box.stamp({"run", "experiment.yaml", "--only", "quantization.method=rtn"});
  CHECK(box.stamp({"watch", "runs/tiny"}).code == 0);  // that run has come to its end; the others were not asked for
  const std::string id = box.ids().front();
  box.stamp({"run", "experiment.yaml", "--only", "quantization.method=rtn"}, {{"FAKE_FAIL", id}});
  Record failed = *box.records().find(id);
  failed.status = "failed";
  failed.metrics.clear();
  failed.failure = Failure{"nan_metric", "nan", "evaluate"};
  RunStore(box.run_folder()).append(failed);
  CHECK(box.stamp({"watch", "runs/tiny"}).code == 3);
}

TEST_CASE("watching does not stand in the way of a run that starts") {
  const Sandbox box;
  REQUIRE(box.stamp({"run", "experiment.yaml", "--only", "quantization.method=rtn"}).code == 0);
  const pid_t sweep = box.start({"run", "experiment.yaml"}, {{"FAKE_DELAY_MS", "100"}});
  for (int i = 0; i < 10; ++i) CHECK(box.stamp({"watch", "runs/tiny", "--once"}).code == 0);
  CHECK(box.wait(sweep).code == 0);
}
