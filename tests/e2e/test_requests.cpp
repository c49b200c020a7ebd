// What a command line or the environment may not ask for, told before a worker is started.
#include "sandbox.h"
#include "support/catch.h"

using namespace stamp;
using namespace stamp::test;

TEST_CASE("doctor says one number of threads and where it comes from") {
  const Sandbox box;
  const auto threads_line = [&](const std::map<std::string, std::string>& environment) {
    const Ended doctor = box.stamp({"doctor"}, environment);
    CHECK(doctor.code == 0);
    CHECK(count(doctor.out, "\nthreads ") == 1);
    const std::size_t at = doctor.out.find("\nthreads ");
    return at == std::string::npos ? std::string() : doctor.out.substr(at, doctor.out.find(';', at) - at);
  };
  CHECK(contains(threads_line({{"STAMP_THREADS", "3"}, {"OMP_NUM_THREADS", "5"}}), " 3 (STAMP_THREADS"));
  CHECK(contains(threads_line({{"STAMP_THREADS", ""}, {"OMP_NUM_THREADS", "5"}}), " 5 (OMP_NUM_THREADS"));
  CHECK(contains(threads_line({{"STAMP_THREADS", ""}, {"OMP_NUM_THREADS", ""}}), "(all usable cores"));
}

TEST_CASE("threads in the environment that make no sense are the user's to mend, in every verb that has a worker") {
  const Sandbox box;
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{"run", "experiment.yaml"},
                                                    {"doctor"},
                                                    {"generate", "model", "--prompt", "x"},
                                                    {"sample", "model", "--class", "3"}}) {
    const Ended end = box.stamp(arguments, {{"STAMP_THREADS", "abc"}});
    CAPTURE(arguments.front(), end.err);
    CHECK(end.code == 2);
    CHECK(contains(end.err, "STAMP_THREADS is \"abc\"; an integer from 1 to 4096"));
  }
}

TEST_CASE("numbers that are none, or would wrap, are refused with what is allowed") {
  const Sandbox box;
  const auto refused = [&](const std::vector<std::string>& arguments, const std::string& allowed) {
    const Ended end = box.stamp(arguments);
    CAPTURE(arguments.back(), end.err);
    CHECK(end.code == 2);
    CHECK(contains(end.err, arguments[arguments.size() - 2] + ": \"" + arguments.back() + "\"; " + allowed));
    CHECK_FALSE(contains(end.err, "fake"));
  };
  const std::string seeds = "an integer from 0 to 18446744073709551615 is allowed";
  for (const char* wrong : {"nan", "-1", "inf", "1e4"}) {
    refused({"sample", "model", "--class", "3", "--guidance", wrong}, "a number from 0 to 1000 is allowed");
    refused({"generate", "model", "--prompt", "x", "--temperature", wrong}, "a number from 0 to 100 is allowed");
    refused({"generate", "model", "--prompt", "x", "--top-p", wrong}, "a number from 0 to 1 is allowed");
  }
  for (const char* wrong : {"-1", "99999999999999999999", "1.5", "x"}) {
    refused({"sample", "model", "--class", "3", "--seed", wrong}, seeds);
    refused({"generate", "model", "--prompt", "x", "--seed", wrong}, seeds);
  }
}

TEST_CASE("settings that a single request does not read are refused, and said to be") {
  const Sandbox box;
  const auto refused = [&](const std::vector<std::string>& arguments, const std::string& part) {
    const Ended end = box.stamp(arguments);
    CAPTURE(arguments.back(), end.err);
    CHECK(end.code == 2);
    CHECK(contains(end.err, part));
  };
  for (const char* set : {"data.windows=3", "evaluate=[perplexity]", "zero_shot.items=2", "images.steps=3"}) {
    const std::string path = std::string(set).substr(0, std::string(set).find('='));
    refused({"generate", "model", "--prompt", "x", "--set", set}, path + ": `stamp generate` does not read it");
    refused({"sample", "model", "--class", "3", "--set", set}, path + ": `stamp sample` does not read it");
  }
  refused({"sample", "model", "--class", "3", "--set", "images.steps=3"}, "--steps");
  refused({"sample", "model", "--class", "3", "--set", "decode.chunk=8"}, "decode.chunk");
  refused({"generate", "model", "--prompt", "x", "--set", "sweep.repeats=3"}, "nothing to sweep");
}

TEST_CASE("inspect takes what generate and sample take: a piece of YAML, and a name of configs/models") {
  const Sandbox box;
  box.write("piece.yaml", "model: {path: model, name: tiny}\n");
  const Ended piece = box.stamp({"inspect", "piece.yaml"});
  CAPTURE(piece.err);
  CHECK(piece.code == 0);
  CHECK(contains(piece.out, "slots: 6"));
  std::filesystem::create_directories(box.path() / "configs" / "models");
  box.write("configs/models/tiny-llama.yaml", "model: {path: ../../model}\n");
  const std::map<std::string, std::string> configs = {{"STAMP_CONFIGS", (box.path() / "configs").string()}};
  CHECK(contains(box.stamp({"inspect", "tiny-llama"}, configs).out, "slots: 6"));
  const Ended stranger = box.stamp({"inspect", "tiny-lama"}, configs);
  CHECK(stranger.code == 6);
  CHECK(contains(stranger.err, "no such file or folder"));
}

TEST_CASE("a plan tells what the worker would refuse at once") {
  const Sandbox box;
  const auto planned = [&](const std::vector<std::string>& sets) {
    std::vector<std::string> arguments = {"plan", "experiment.yaml"};
    for (const std::string& set : sets) {
      arguments.push_back("--set");
      arguments.push_back(set);
    }
    const Ended end = box.stamp(arguments);
    CHECK(end.code == 0);
    return end.out + end.err;
  };
  box.write("text.txt", std::string(4096, 'x'));
  CHECK_FALSE(contains(planned({}), "no more than"));
  CHECK(contains(planned({"data.windows=65"}), "has 4096 bytes, no more than 64 windows of 64 tokens"));
  CHECK(contains(planned({"data.context=256"}), "warning: data.context is 256, and tiny-llama was made for 128"));
  CHECK(contains(planned({"evaluate=[image_sqnr]", "table.value=image_sqnr"}), "tiny-llama is a language model"));
  CHECK(contains(planned({"evaluate=[perplexity, image_sqnr]"}), "no model does both"));
  box.write("text.txt",
            "\x7f"
            "ELF\x80");
  CHECK(contains(planned({}), "is not UTF-8 text: byte 4"));

  namespace fs = std::filesystem;
  fs::copy(STAMP_SOURCE_DIR "/tests/golden/pipelines/pixels", box.path() / "pixels", fs::copy_options::recursive);
  const std::vector<std::string> of_images = {"model.path=pixels/transformer", "model.name=dit",
                                              "evaluate=[image_sqnr]", "table.value=image_sqnr",
                                              "sweep.axes.quantization.method=[rtn]"};
  CHECK_FALSE(contains(planned(of_images), "scheduler_config.json"));
  fs::remove_all(box.path() / "pixels" / "scheduler");
  CHECK(contains(planned(of_images), "scheduler_config.json: the file is missing"));
}
