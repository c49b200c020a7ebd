#include "sandbox.h"
#include "support/catch.h"

using namespace stamp;
using namespace stamp::test;

namespace {

const std::vector<std::string>& verbs() {
  static const std::vector<std::string> names{
      "validate", "plan",    "run",     "reproduce", "watch",    "ls",      "show",   "log",    "table",     "plot",
      "report",   "explain", "compare", "check",     "describe", "inspect", "doctor", "export", "completion"};
  return names;
}

}  // namespace

TEST_CASE("every verb has help with two worked examples") {
  const Sandbox box;
  const Ended top = box.stamp({"--help"});
  CHECK(top.code == 0);
  for (const std::string& verb : verbs()) {
    CAPTURE(verb);
    CHECK(contains(top.out, "\n  " + verb + " "));
    const Ended help = box.stamp({verb, "--help"});
    CHECK(help.code == 0);
    const std::size_t examples = help.out.find("Examples:");
    REQUIRE(examples != std::string::npos);
    CHECK(count(help.out.substr(examples), "stamp " + verb) == 2);
  }
}

TEST_CASE("wrong usage never exits 0") {
  const Sandbox box;
  CHECK(box.stamp({}).code == 2);
  const Ended typo = box.stamp({"pln", "experiment.yaml"});
  CHECK(typo.code == 2);
  CHECK(contains(typo.err, "did you mean \"plan\""));
  CHECK(typo.out.empty());
  CHECK(box.stamp({"plan"}).code == 2);
  CHECK(box.stamp({"plan", "experiment.yaml", "--nonsense"}).code == 2);
  CHECK(box.stamp({"table", "runs/tiny", "--format", "html"}).code == 2);
  CHECK(box.stamp({"completion", "tcsh"}).code == 2);
}

TEST_CASE("a sweep without a model of its own is a piece that models' files extend") {
  const Sandbox box;
  box.write("grid.yaml", "schema: 1\nsweep: {axes: {quantization.sequence.transform: [identity, haar]}}\n");
  const Ended piece = box.stamp({"validate", "grid.yaml"});
  INFO(piece.err);
  CHECK(piece.code == 0);
  CHECK(contains(piece.out, "a piece to extend"));
  box.write("grid.yaml", "schema: 1\nsweep: {axes: {quantization.sequence.transform: [identity, hair]}}\n");
  CHECK(box.stamp({"validate", "grid.yaml"}).code == 2);
}

TEST_CASE("a file with a model is validated as an experiment, whatever else it leaves out") {
  const Sandbox box;
  box.write("model.yaml", "schema: 1\nmodel: {path: nowhere.gguf, name: toy}\n");
  box.write("trial.yaml",
            "schema: 1\nextends: [model.yaml]\ndata: {context: 64}\n"
            "quantization: {sequence: {transform: wht}, smoothquant: {alpha: 0.5}}\n");
  const Ended trial = box.stamp({"validate", "trial.yaml"});
  INFO(trial.out << trial.err);
  CHECK(trial.code == 0);
  CHECK(contains(trial.out, "experiment trial, 0 trials, 1 excluded"));
  CHECK(contains(trial.err, "quantization.smoothquant.alpha: does nothing in any trial"));
  CHECK(contains(trial.err, "refused: sequence transform wht: it needs 2^m tokens and gets 63"));
  const Ended model = box.stamp({"validate", "model.yaml"});
  CHECK(contains(model.out, "experiment model, 1 trial, 0 excluded; a piece to extend as well"));
}

TEST_CASE("plan writes nothing and reads like a sentence") {
  const Sandbox box;
  std::string text = experiment_text;
  text += "";
  text.replace(text.find("  axes:"), 7,
               "  exclude: [{when: {quantization.method: smoothquant, quantization.sequence.transform: dct}, because: "
               "\"not in the paper's table\"}]\n  axes:");
  text.replace(text.find("haar, dct"), 9, "haar, dct, wht");
  box.write("experiment.yaml", text);
  const Ended plan = box.stamp({"plan", "experiment.yaml"});
  INFO(plan.err);
  CHECK(plan.code == 0);
  // WHT sees 63 rows, which is no power of two: refused with the transform's own reason.
  CHECK(contains(plan.out, "5 trials: 5 new; 1 excluded (\"not in the paper's table\"); 2 refused ("));
  CHECK(contains(plan.out, "sequence transform wht: it needs 2^m tokens and gets 63"));
  CHECK(contains(plan.out, "1 model, 1 calibration"));
  CHECK(contains(plan.out, "about "));
  CHECK_FALSE(std::filesystem::exists(box.path() / "runs"));
  const Json json = Json::parse(box.stamp({"plan", "experiment.yaml", "--format", "json"}).out);
  CHECK(json["trials"].size() == 5);
  CHECK(json["excluded"].size() == 3);
}

TEST_CASE("a plan counts and estimates what --only selects, and says how many trials it leaves out") {
  const Sandbox box;
  const std::string only = "quantization.method=rtn,quantization.sequence.transform=haar";
  const Ended plan = box.stamp({"plan", "experiment.yaml", "--only", only, "--explain"});
  INFO(plan.out);
  CHECK(plan.code == 0);
  CHECK(plan.out.starts_with("1 trial: 1 new; 1 model, "));
  CHECK(contains(plan.out, "; 5 trials left out by --only\n"));
  CHECK(count(plan.out, "not selected by --only") == 5);
  CHECK(count(plan.out, "in memory") == 1);  // of the parts of the estimate
  const Ended run = box.stamp({"run", "experiment.yaml", "--only", only});
  CHECK(contains(run.err, "1 trial: 1 new; 1 model, "));
  CHECK(contains(run.err, "; 5 trials left out by --only"));
  CHECK(box.ids().size() == 6);
  CHECK_FALSE(contains(box.stamp({"plan", "experiment.yaml"}).out, "--only"));
}

TEST_CASE("ls, show, log, table, export, plot data of a run") {
  const Sandbox box;
  REQUIRE(box.stamp({"run", "experiment.yaml"}).code == 0);
  const std::vector<std::string> ids = box.ids();
  const Ended ls = box.stamp({"ls", "runs/tiny"});
  for (const std::string& id : ids) CHECK(contains(ls.out, id + "  done"));
  CHECK(contains(box.stamp({"ls"}).out, "runs/tiny"));

  const Ended show = box.stamp({"show", "runs/tiny/" + ids[0].substr(0, 8)});
  CHECK(show.code == 0);
  CHECK(Json::parse(show.out)["id"] == ids[0]);
  CHECK(Json::parse(show.out)["slots"].size() == 1);
  CHECK_FALSE(Json::parse(box.stamp({"show", "runs/tiny/" + ids[0], "--brief"}).out).contains("slots"));
  CHECK(contains(box.stamp({"log", "runs/tiny/" + ids[0]}).out, ids[0]));

  CHECK(contains(box.stamp({"table", "runs/tiny", "--format", "tex"}).out, "\\begin{tabular}"));
  const Ended table = box.stamp({"table", "runs/tiny", "--format", "csv", "--layout", "long"});
  CHECK(count(table.out, "\n") == 1 + 2 * 6);  // two metrics a trial
  const Ended exported = box.stamp({"export", "runs/tiny", "--format", "csv"});
  CHECK(count(exported.out, "\n") == 1 + 2 * 6);
  CHECK(contains(exported.out, "quantization.sequence.transform"));
  CHECK(box.stamp({"export", "runs/tiny", "--format", "sqlite", "--output", "x.sqlite"}).code == 0);
  CHECK(slurp(box.path() / "x.sqlite").starts_with("SQLite format 3"));
  CHECK(box.stamp({"export", "runs/tiny", "--output", "-"}).out == exported.out);
  CHECK(box.stamp({"export", "runs/tiny", "--format", "sqlite", "--output", "-"}).out ==
        slurp(box.path() / "x.sqlite"));
  CHECK_FALSE(std::filesystem::exists(box.path() / "-"));
  CHECK(box.stamp({"export", "runs/tiny", "--output", "no/such/x.csv"}).code == 5);

  CHECK(box.stamp({"plot", "runs/tiny", "--data-only"}).code == 0);
  CHECK(count(slurp(box.run_folder() / "plots" / "perplexity.csv"), "\n") == 7);
  CHECK(count(slurp(box.run_folder() / "plots" / "bound.csv"), "\n") == 7);
  CHECK(count(slurp(box.run_folder() / "plots" / "energy.csv"), "\n") == 1 + 6 * 8);
}

TEST_CASE("plot calls the script with the folder and the figure, and passes its failure on") {
  const Sandbox box;
  REQUIRE(box.stamp({"run", "experiment.yaml"}).code == 0);
  box.write(
      "scripts/plot.py",
      "import sys\nopen('called.txt', 'w').write(' '.join(sys.argv[1:]))\nsys.exit(2 if 'wrong' in sys.argv else 0)\n");
  const std::map<std::string, std::string> scripts{{"STAMP_SCRIPTS", (box.path() / "scripts").string()}};
  CHECK(box.stamp({"plot", "runs/tiny", "--figure", "bound"}, scripts).code == 0);
  CHECK(slurp(box.path() / "called.txt") == "runs/tiny/plots --figure bound");
  CHECK(box.stamp({"plot", "runs/tiny", "--figure", "wrong"}, scripts).code == 2);
  CHECK(box.stamp({"plot", "runs/tiny"}, {{"STAMP_SCRIPTS", "nowhere"}}).code == 6);
}

TEST_CASE("compare and check on two runs") {
  const Sandbox box;
  REQUIRE(box.stamp({"run", "experiment.yaml"}).code == 0);
  REQUIRE(
      box.stamp({"run", "experiment.yaml", "--set", "quantization.activations.bits=8", "--output", "runs/b"}).code ==
      0);
  const Ended compare = box.stamp({"compare", "runs/tiny", "runs/b"});
  INFO(compare.out);
  CHECK(compare.code == 0);
  CHECK(contains(compare.out, "quantization.activations.bits: 4 | 8"));
  CHECK(contains(compare.out, "over 2 pairs"));
  const Ended brief = box.stamp({"compare", "runs/tiny", "runs/tiny", "--brief"});
  CHECK(brief.out == "unchanged: perplexity of 6 trials\n");
  CHECK(contains(box.stamp({"compare", "runs/tiny", "runs/b", "--brief"}).out, " of 6 trials moved, perplexity by at"));

  const std::vector<std::string> ids = box.ids();
  const double value = box.records().find(ids[0])->metrics[0].value;
  const auto expectation = [&](double expected) {
    return "schema: 1\nexpectations:\n  - {id: a, when: {quantization.method: rtn, quantization.sequence.transform: "
           "identity}, metric: perplexity, value: " +
           std::to_string(expected) + ", tolerance: {relative: 0.01}, source: here}\n" +
           "  - {id: b, when: {quantization.method: quarot}, metric: perplexity, value: 1, tolerance: {absolute: 1}, "
           "source: here}\n";
  };
  box.write("expected.yaml", expectation(value * 1.005));
  const Ended holds = box.stamp({"check", "runs/tiny", "--against", "expected.yaml"});
  CHECK(holds.code == 0);
  CHECK(contains(holds.out, "1 hold, 0 miss, 1 untested"));
  box.write("expected.yaml", expectation(value * 1.02));
  const Ended misses = box.stamp({"check", "runs/tiny", "--against", "expected.yaml"});
  CHECK(misses.code == 4);
  CHECK(contains(misses.out, "MISSES"));
}

TEST_CASE("an expectation that no trial can ever meet is a fault of its file, not untested") {
  const Sandbox box;
  REQUIRE(box.stamp({"run", "experiment.yaml"}).code == 0);
  const auto with = [&](const std::string& when) {
    box.write("expected.yaml", "schema: 1\nexpectations:\n  - id: a\n    when: {" + when +
                                   "}\n    metric: perplexity\n    value: 1\n    tolerance: {absolute: 1}\n    source: "
                                   "here\n");
    const Ended check = box.stamp({"check", "runs/tiny", "--against", "expected.yaml"});
    const Ended valid = box.stamp({"validate", "expected.yaml"});
    CHECK((check.code == 2) == (valid.code == 2));
    CHECK((check.code != 2 || (check.out.empty() && check.err == valid.err)));
    return valid;
  };
  const Ended path = with("quantization.metod: rtn");
  CHECK(path.code == 2);
  CHECK(contains(path.err, "expected.yaml:4:12: expectation.when.quantization.metod: no such setting"));
  CHECK(contains(path.err, "did you mean \"quantization.method\""));
  const Ended value = with("quantization.method: [rtn, rtm]");
  CHECK(value.code == 2);
  CHECK(contains(value.err, "expected.yaml:4:"));
  CHECK(contains(value.err, "did you mean \"rtn\""));
  // In no trial of this run, or a repeat: untested.
  CHECK(with("quantization.method: quarot").code == 0);
  CHECK(with("repeat: 3, evaluate: slot_error, quantization.sequence.levels: auto, data.windows: [2, 4]").code == 0);
}

TEST_CASE("describe, doctor, completion follow the catalog") {
  const Sandbox box;
  const Ended all = box.stamp({"describe"});
  CHECK(contains(all.out, "haar"));
  CHECK(contains(all.out, "quarot"));
  CHECK(contains(box.stamp({"describe", "transform", "haar"}).out, "levels"));
  CHECK(contains(box.stamp({"describe", "settings", "quantization.weights"}).out, "clip_search"));
  const Ended typo = box.stamp({"describe", "transforms", "harr"});
  CHECK(typo.code == 2);
  CHECK(contains(typo.err, "did you mean \"haar\""));
  CHECK(box.stamp({"describe", "colours"}).code == 2);

  const Ended doctor = box.stamp({"doctor"});
  CHECK(doctor.code == 0);
  CHECK(contains(doctor.out, "writable"));
  CHECK(contains(doctor.out, "fake worker: well"));
  CHECK(contains(box.stamp({"doctor"}, {{"STAMP_THREADS", "3"}}).out, "3 (STAMP_THREADS;"));
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const Ended completion = box.stamp({"completion", shell});
    CHECK(completion.code == 0);
    for (const std::string& verb : verbs()) CHECK(contains(completion.out, verb));
    CHECK(contains(completion.out, "quantization.sequence.transform"));
    CHECK(contains(completion.out, "quarot"));
    CHECK(contains(completion.out, "llm_table2_parts"));  // what `reproduce` takes
  }
}

TEST_CASE("bash accepts the completion, and it completes") {
  const Sandbox box;
  box.write("complete.bash",
            box.stamp({"completion", "bash"}).out +
                "\nCOMP_WORDS=(stamp des); COMP_CWORD=1; _stamp; echo \"${COMPREPLY[*]}\"\n"
                "COMP_WORDS=(stamp describe transforms kl); COMP_CWORD=3; _stamp; echo \"${COMPREPLY[*]}\"\n"
                "COMP_WORDS=(stamp reproduce quick); COMP_CWORD=2; _stamp; echo \"${COMPREPLY[*]}\"\n"
                "COMP_WORDS=(stamp reproduce --no-p); COMP_CWORD=2; _stamp; echo \"${COMPREPLY[*]}\"\n");
  REQUIRE(std::system(("bash " + (box.path() / "complete.bash").string() + " > " + (box.path() / "out.txt").string())
                          .c_str()) == 0);
  CHECK(slurp(box.path() / "out.txt") == "describe\nklt\nquickstart\n--no-plots\n");
}

TEST_CASE("inspect tells what a model is, and refuses a damaged one with exit code 6") {
  const Sandbox box;
  const Ended good = box.stamp({"inspect", "model"});
  INFO(good.err);
  CHECK(good.code == 0);
  CHECK(contains(good.out, "llama"));
  CHECK(contains(good.out, "slots: 6"));
  const std::string bytes = slurp(box.path() / "model" / "model.safetensors");
  box.write("model/model.safetensors", bytes.substr(0, bytes.size() - 5));
  const Ended bad = box.stamp({"inspect", "model"});
  CHECK(bad.code == 6);
  CHECK(contains(bad.err, "model.safetensors"));
  CHECK(box.stamp({"inspect", "nowhere.gguf"}).code == 6);
}
