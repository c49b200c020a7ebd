// The section zero_shot: what it means in an id, what it refuses, and that text windows then do not matter.
#include "fixture.h"
#include "support/catch.h"

using namespace stamp;
using namespace stamp::testing;

namespace {

const char* const head = "schema: 1\nmodel: {path: a.gguf}\n";

Json canonical_of(const std::string& rest) {
  return canonical(apply(read(head + rest), {}), schema());
}
std::string id_of(const std::string& rest) {
  return trial_id(apply(read(head + rest), {}), schema());
}

}  // namespace

TEST_CASE("zero_shot enters the id only when it is evaluated", "[zero_shot]") {
  CHECK_FALSE(canonical_of("evaluate: [perplexity]\n").contains("zero_shot"));
  CHECK(id_of("evaluate: [perplexity]\nzero_shot: {items: 5}\n") == id_of("evaluate: [perplexity]\n"));
  const Json both = canonical_of("evaluate: [zero_shot, perplexity]\n");
  CHECK(both.at("zero_shot").dump() ==
        R"({"tasks":["piqa","hellaswag","arc_easy","arc_challenge","winogrande","lambada"],"items":0,"bos":"none",)"
        R"("rule":"leak_free","batch_rows":2048})");
  CHECK(both.contains("data"));
  CHECK(id_of("evaluate: [zero_shot]\nzero_shot: {items: 5}\n") != id_of("evaluate: [zero_shot]\n"));
}

TEST_CASE("text windows do not matter to a trial that reads none", "[zero_shot]") {
  const std::string only = "evaluate: [zero_shot]\n";
  CHECK_FALSE(canonical_of(only).contains("data"));
  CHECK(id_of(only + "data: {context: 64, text: other.txt}\n") == id_of(only));
  const Experiment e = read(head + only + "data: {context: 64}\n");
  REQUIRE(e.warnings.size() == 1);
  CHECK(e.warnings[0].find("data.context: does nothing") != std::string::npos);
}

TEST_CASE("the set of tasks has no order; unknown ones are refused with the nearest name", "[zero_shot]") {
  const std::string only = "evaluate: [zero_shot]\n";
  CHECK(id_of(only + "zero_shot: {tasks: [hellaswag, piqa]}\n") ==
        id_of(only + "zero_shot: {tasks: [piqa, hellaswag]}\n"));
  const std::string fault = faults(head + only + "zero_shot: {tasks: [hellaswagg]}\n");
  CHECK(fault.find("e.yaml:4:20: zero_shot.tasks") != std::string::npos);
  CHECK(fault.find("did you mean \"hellaswag\"") != std::string::npos);
  CHECK(faults(head + only + "zero_shot: {rule: leakfree}\n").find("did you mean \"leak_free\"") != std::string::npos);
}

TEST_CASE("a folder of one's own travels beside the trial and not in its id", "[zero_shot]") {
  const std::string only = "evaluate: [zero_shot]\n";
  const TrialSpec own = apply(read(head + only + "zero_shot: {data: mine}\n"), {});
  CHECK(own.zero_shot.data.ends_with("/mine"));
  CHECK(trial_id(own, schema()) == id_of(only));
  const Json frozen = with_paths(own, schema());
  CHECK(trial_from_json(frozen, schema()).zero_shot.data == own.zero_shot.data);
  const TrialSpec known = apply(read(head + only + "zero_shot: {data: auto}\n"), {});
  CHECK(known.zero_shot.data == "auto");
  CHECK_FALSE(with_paths(known, schema()).at("paths").contains("zero_shot_data"));
}

TEST_CASE("high_tokens keeps its written form", "[zero_shot]") {
  const auto with_tokens = [](const std::string& k) {
    return canonical_of("quantization: {allocation: {high_tokens: " + k + "}}\n")
        .at("quantization")
        .at("allocation")
        .at("high_tokens");
  };
  CHECK(with_tokens("s/32") == "s/32");
  CHECK(with_tokens("64") == 64);
  const std::string fault = faults(with("quantization: {allocation: {high_tokens: s/0}}"));
  CHECK(fault.find("an integer from 0 to 1000000, or a share of the sequence such as s/32") != std::string::npos);
}
