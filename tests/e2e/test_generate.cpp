// `stamp generate`: what reaches the worker, how the ends of either side are told, and one real continuation.
#include <signal.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>
#include <thread>

#include "base/json.h"
#include "sandbox.h"
#include "support/catch.h"

using namespace stamp;
using namespace stamp::test;

namespace {

// A worker of a few lines of shell.
std::map<std::string, std::string> scripted(const Sandbox& box, const std::string& lines) {
  const std::filesystem::path file = box.path() / "worker.sh";
  box.write("worker.sh", "#!/bin/sh\n" + lines + "\n");
  std::filesystem::permissions(file, std::filesystem::perms::owner_all);
  return {{"STAMP_WORKER", file.string()}};
}

Json request_of(const Sandbox& box, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "generate");
  const Ended end = box.stamp(arguments, scripted(box, "test \"$1\" = generate && cat \"$2\""));
  INFO(end.err);
  REQUIRE(end.code == 0);
  return Json::parse(end.out);
}

void check_refused(const Sandbox& box, std::vector<std::string> arguments, int code, const std::string& part) {
  arguments.insert(arguments.begin(), "generate");
  const Ended end = box.stamp(arguments, scripted(box, "echo started"));
  CAPTURE(end.err, part);
  CHECK(end.code == code);
  CHECK(contains(end.err, part));
  CHECK(end.out.empty());
}

std::string file_text(const std::filesystem::path& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

TEST_CASE("nothing is quantized unless asked for; a method brings its four bits") {
  const Sandbox box;
  const Json plain = request_of(box, {"model", "--prompt", "Hello"});
  const Json& quantization = plain.at("trial").at("quantization");
  for (const char* part : {"weights", "activations", "kv_cache"}) CHECK(quantization.at(part).at("bits") == 16);
  CHECK(plain.at("trial").at("paths").at("model") == (box.path() / "model").string());
  CHECK(plain.at("prompt") == "Hello");
  CHECK(plain.at("temperature") == 0);

  const Json method = request_of(box, {"model", "--prompt", "Hello", "--method", "smoothquant"});
  CHECK(method.at("trial").at("quantization").at("method") == "smoothquant");
  CHECK(method.at("trial").at("quantization").at("weights").at("bits") == 4);

  const Json set = request_of(box, {"model",
                                    "--prompt",
                                    "Hello",
                                    "--set",
                                    "quantization.kv_cache.bits=3",
                                    "--set",
                                    "decode.chunk=32",
                                    "--temperature",
                                    "0.7",
                                    "--top-k",
                                    "5",
                                    "--top-p",
                                    "0.9",
                                    "--seed",
                                    "4",
                                    "--max-tokens",
                                    "9",
                                    "--stats",
                                    "--cache-view",
                                    "keep"});
  CHECK(set.at("trial").at("quantization").at("kv_cache").at("bits") == 3);
  CHECK(set.at("trial").at("decode").at("chunk") == 32);
  CHECK(set.at("temperature") == 0.7);
  CHECK(set.at("top_k") == 5);
  CHECK(set.at("top_p") == 0.9);
  CHECK(set.at("seed") == 4);
  CHECK(set.at("max_tokens") == 9);
  CHECK(set.at("stats") == true);
  CHECK(set.at("keep_view") == true);
}

TEST_CASE("a model may be named by a piece of YAML, a prompt may come from a file or be long") {
  const Sandbox box;
  box.write("piece.yaml", "model: {path: model, name: tiny}\n");
  CHECK(request_of(box, {"piece.yaml", "--prompt", "x"}).at("trial").at("model").at("name") == "tiny");
  const std::string text(1 << 18, 'a');  // more than one argument can hold
  box.write("prompt.txt", text);
  CHECK(request_of(box, {"model", "--prompt-file", "prompt.txt"}).at("prompt") == text);
}

TEST_CASE("what cannot be asked for is refused before a worker starts") {
  const Sandbox box;
  check_refused(box, {"model"}, 2, "--prompt TEXT or --prompt-file FILE");
  check_refused(box, {"model", "--prompt", "x", "--method", "quarott"}, 2, "did you mean \"quarot\"");
  check_refused(box, {"model", "--prompt", "x", "--set", "decode.chunks=3"}, 2, "did you mean \"chunk\"");
  check_refused(box, {"model", "--prompt", "x", "--set", "decode.chunk=0"}, 2, "decode.chunk");
  check_refused(box, {"model", "--prompt", "x", "--set", "decode.high_tokens=s/x"}, 2, "a share of the sequence");
  check_refused(box, {"model", "--prompt", "x", "--set", "sweep.axes.quantization.method=[rtn]"}, 2,
                "nothing to sweep");
  check_refused(box, {"model", "--prompt", "x", "--temperature", "-1"}, 2, "--temperature");
  check_refused(box, {"model", "--prompt", "\xff"}, 2, "not UTF-8");
  check_refused(box, {"model", "--prompt-file", "absent.txt"}, 6, "absent.txt");
  check_refused(box, {"absent.yaml", "--prompt", "x"}, 2, "absent.yaml");
}

TEST_CASE("the worker's end is the verb's: exit codes, signals, a reader that leaves, an interrupt") {
  const Sandbox box;
  const std::vector<std::string> arguments = {"generate", "model", "--prompt", "x"};
  CHECK(box.stamp(arguments, scripted(box, "exit 6")).code == 6);
  CHECK(box.stamp(arguments, scripted(box, "kill -PIPE $$")).code == 0);
  const Ended crash = box.stamp(arguments, scripted(box, "kill -SEGV $$"));
  CHECK(crash.code == 1);
  CHECK(contains(crash.err, "signal 11"));

  const auto slow = scripted(box,
                             "trap 'printf \" end\"; exit 130' INT\nprintf begin\ntouch ready\n"
                             "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 0.5; done");
  const pid_t pid = box.start(arguments, slow);
  for (int i = 0; i < 5000 && !std::filesystem::exists(box.path() / "ready"); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  ::kill(pid, SIGINT);
  const Ended end = box.wait(pid);
  CHECK(end.code == 130);
  CHECK(end.out == "begin end");
}

TEST_CASE("SmolLM2 continues as transformers does", "[smollm2]") {
  const char* bin = std::getenv("STAMP_BIN_DIR");
  REQUIRE(bin != nullptr);
  const std::filesystem::path worker = std::filesystem::path(bin) / "stamp-worker";
  const std::filesystem::path model =
      std::filesystem::path(STAMP_SOURCE_DIR) / ".data" / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf";
  if (!std::filesystem::exists(worker) || !std::filesystem::exists(model)) {
    WARN("skipped: " + (std::filesystem::exists(worker) ? model : worker).string() + " is not there");
    return;
  }
  const Json golden = Json::parse(file_text(STAMP_SOURCE_DIR "/tests/golden/generate.json")).at("smollm2");
  const Sandbox box;
  const std::map<std::string, std::string> real = {{"STAMP_WORKER", worker.string()}};
  const Ended fp = box.stamp({"generate", model.string(), "--prompt", golden.at(0).at("text").get<std::string>(),
                              "--max-tokens", "12", "--stats"},
                             real);
  CAPTURE(fp.err);
  CHECK(fp.code == 0);
  // The golden ids as llama.cpp spells them.
  CHECK(fp.out == " Paris.\n\nThe answer is: 201\n");
  CHECK(contains(fp.err, "ended by: max tokens"));
  CHECK(contains(fp.err, "bits     weights 16"));

  const Ended missing = box.stamp({"generate", "nowhere.gguf", "--prompt", "x"}, real);
  CHECK(missing.code == 6);
  CHECK(contains(missing.err, "nowhere.gguf"));
}
