// `stamp sample`: what reaches the worker, what is refused before one starts, and images of a tiny pipeline.
#include <sys/wait.h>

#include <cstdlib>
#include <cstring>
#include <functional>

#include "base/json.h"
#include "images/png.h"
#include "sandbox.h"
#include "support/catch.h"

using namespace stamp;
using namespace stamp::test;
namespace fs = std::filesystem;

namespace {

std::map<std::string, std::string> scripted(const Sandbox& box, const std::string& lines) {
  const fs::path file = box.path() / "worker.sh";
  box.write("worker.sh", "#!/bin/sh\n" + lines + "\n");
  fs::permissions(file, fs::perms::owner_all);
  return {{"STAMP_WORKER", file.string()}};
}

Json request_of(const Sandbox& box, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "sample");
  const Ended end = box.stamp(arguments, scripted(box, "test \"$1\" = sample && cat \"$2\""));
  INFO(end.err);
  REQUIRE(end.code == 0);
  return Json::parse(end.out);
}

void check_refused(const Sandbox& box, std::vector<std::string> arguments, const std::string& part) {
  arguments.insert(arguments.begin(), "sample");
  const Ended end = box.stamp(arguments, scripted(box, "echo started"));
  CAPTURE(end.err, part);
  CHECK(end.code == 2);
  CHECK(contains(end.err, part));
  CHECK(end.out.empty());
}

std::string pipeline(const std::string& name) {
  return STAMP_SOURCE_DIR "/tests/golden/pipelines/" + name;
}

// Empty where the worker was not built.
std::map<std::string, std::string> real_worker() {
  const char* bin = std::getenv("STAMP_BIN_DIR");
  REQUIRE(bin != nullptr);
  const fs::path worker = fs::path(bin) / "stamp-worker";
  if (fs::exists(worker)) return {{"STAMP_WORKER", worker.string()}, {"STAMP_SANA_INSTRUCTION", "none"}};
  WARN("skipped: " + worker.string() + " is not there");
  return {};
}

std::vector<std::uint8_t> bytes_of(const fs::path& file) {
  return read_png(file).bytes;
}

int largest_difference(const std::vector<std::uint8_t>& a, const std::vector<std::uint8_t>& b) {
  REQUIRE(a.size() == b.size());
  int top = 0;
  for (std::size_t i = 0; i < a.size(); ++i) top = std::max(top, std::abs(int{a[i]} - int{b[i]}));
  return top;
}

}  // namespace

TEST_CASE("a request for images says what was asked for and nothing else") {
  const Sandbox box;
  const Json plain = request_of(box, {"model", "--prompt", "a cat", "--prompt", "a dog"});
  CHECK(plain.at("prompts") == Json({"a cat", "a dog"}));
  CHECK(plain.at("classes").empty());
  CHECK(plain.at("count") == 1);
  for (const char* open : {"steps", "guidance", "height", "width"}) CHECK(plain.at(open).is_null());
  CHECK(plain.at("output") == (box.path() / "samples").string());
  CHECK(plain.at("trial").at("quantization").at("weights").at("bits") == 16);
  CHECK(plain.at("trial").at("quantization").at("activations").at("bits") == 16);
  CHECK(plain.at("trial").at("paths").at("model") == (box.path() / "model").string());

  const Json full = request_of(box, {"model",
                                     "--class",
                                     "3",
                                     "--class",
                                     "cat",
                                     "--count",
                                     "4",
                                     "--steps",
                                     "7",
                                     "--guidance",
                                     "2.5",
                                     "--seed",
                                     "9",
                                     "--height",
                                     "64",
                                     "--width",
                                     "96",
                                     "--set",
                                     "quantization.activations.bits=6",
                                     "--negative",
                                     "fog",
                                     "--method",
                                     "rtn",
                                     "--output",
                                     "out"});
  CHECK(full.at("classes") == Json({"3", "cat"}));
  CHECK(full.at("count") == 4);
  CHECK(full.at("steps") == 7);
  CHECK(full.at("guidance") == 2.5);
  CHECK(full.at("height") == 64);
  CHECK(full.at("width") == 96);
  CHECK(full.at("negative") == "fog");
  CHECK(full.at("seed") == 9);
  CHECK(full.at("output") == (box.path() / "out").string());
  CHECK(full.at("trial").at("quantization").at("weights").at("bits") == 4);
  CHECK(full.at("trial").at("quantization").at("activations").at("bits") == 6);
}

TEST_CASE("images that cannot be asked for are refused before a worker starts") {
  const Sandbox box;
  check_refused(box, {"model"}, "--prompt TEXT (PixArt, SANA) or --class N (DiT)");
  check_refused(box, {"model", "--prompt", "x", "--class", "3"}, "--class");
  check_refused(box, {"model", "--prompt", "\xff"}, "not UTF-8");
  check_refused(box, {"model", "--class", "3", "--streamed", "--method", "rtn"}, "--streamed runs the model in full");
  check_refused(box, {"model", "--class", "3", "--steps", "0"}, "--steps");
  check_refused(box, {"model", "--class", "3", "--method", "rtm"}, "did you mean \"rtn\"");
  check_refused(box, {"model", "--class", "3", "--set", "sweep.axes.quantization.method=[rtn]"}, "nothing to sweep");
}

TEST_CASE("images, their sheet and their account are written; the same command makes the same images") {
  const auto worker = real_worker();
  if (worker.empty()) return;
  const Sandbox box;
  const std::vector<std::string> arguments = {
      "sample", pipeline("pixels"), "--class", "4", "--class", "7", "--count", "2", "--steps", "3", "--output", "out"};
  const Ended end = box.stamp(arguments, worker);
  CAPTURE(end.err);
  REQUIRE(end.code == 0);
  CHECK(count(end.out, "\n") == 6);  // four images, the sheet, the account
  for (const char* name : {"0000.png", "0001.png", "0002.png", "0003.png", "sheet.png", "samples.json"})
    CHECK(fs::exists(box.path() / "out" / name));
  const Json account = Json::parse(slurp(box.path() / "out" / "samples.json"));
  CHECK(account.at("images").size() == 4);
  CHECK(account.at("images").at(3).at("label") == "7");
  CHECK(account.at("steps") == 3);
  CHECK(account.at("guidance") == 4);
  const auto first = bytes_of(box.path() / "out" / "0000.png");
  CHECK(first != bytes_of(box.path() / "out" / "0001.png"));
  REQUIRE(box.stamp(arguments, worker).code == 0);
  CHECK(first == bytes_of(box.path() / "out" / "0000.png"));
}

TEST_CASE("a streamed denoiser makes the image of the one in memory; a quantized one makes another") {
  const auto worker = real_worker();
  if (worker.empty()) return;
  const Sandbox box;
  const auto image = [&](const std::string& folder, std::vector<std::string> more) {
    std::vector<std::string> arguments = {"sample", pipeline("pixart"), "--prompt", "a red castle", "--steps",
                                          "3",      "--output",         folder};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Ended end = box.stamp(arguments, worker);
    CAPTURE(end.err);
    REQUIRE(end.code == 0);
    return bytes_of(box.path() / folder / "0000.png");
  };
  const auto plain = image("plain", {});
  CHECK(largest_difference(plain, image("streamed", {"--streamed"})) <= 1);
  const auto quantized =
      image("quantized", {"--set", "quantization.activations.bits=4", "--set", "quantization.sequence.transform=haar2d",
                          "--set", "quantization.allocation.high_tokens=4"});
  CHECK(largest_difference(plain, quantized) > 1);
  const Json account = Json::parse(slurp(box.path() / "quantized" / "samples.json"));
  CHECK(account.at("activation_bits") > 4);
  CHECK(account.at("activation_bits") < 16);
}

TEST_CASE("what a pipeline lacks has the code of missing data, what it is asked in vain the code of usage") {
  const auto worker = real_worker();
  if (worker.empty()) return;
  const Sandbox box;
  const auto refused = [&](int code, std::vector<std::string> arguments, const std::string& part) {
    arguments.insert(arguments.begin(), "sample");
    const Ended end = box.stamp(arguments, worker);
    CAPTURE(end.err, part);
    CHECK(end.code == code);
    CHECK(contains(end.err, part));
  };
  fs::copy(pipeline("dit"), box.path() / "dit", fs::copy_options::recursive);
  fs::remove_all(box.path() / "dit" / "vae");
  refused(6, {"dit", "--class", "3"}, "vae: the folder is missing");
  refused(6, {"nowhere", "--class", "3"}, "nowhere");
  refused(2, {pipeline("dit"), "--class", "2000"}, "the classes 0 to 999");
  refused(2, {pipeline("dit"), "--class", "foo"}, "allowed are numbers from 0 to 999");
  refused(2, {pipeline("dit"), "--prompt", "a cat"}, "reads classes");
  refused(2, {pipeline("pixart"), "--class", "3"}, "reads texts");
  refused(2, {pipeline("dit"), "--class", "3", "--height", "17", "--width", "17"}, "multiples of 4");
  refused(2, {pipeline("dit"), "--class", "3", "--negative", "fog"}, "reads classes");
  // A method that reads calibration items, which a single image has none of.
  refused(2, {pipeline("pixels"), "--class", "3", "--method", "smoothquant"}, "makes images and reads no texts");
}

namespace {

// The pixels pipeline with one tensor's entry of the header, or its values, changed in place.
void spoil(const Sandbox& box, const std::string& name,
           const std::function<void(std::string& file, std::size_t entry, std::size_t values)>& change) {
  fs::remove_all(box.path() / "spoilt");
  fs::copy(pipeline("pixels"), box.path() / "spoilt", fs::copy_options::recursive);
  const fs::path path = box.path() / "spoilt" / "transformer" / "diffusion_pytorch_model.safetensors";
  std::string file = slurp(path);
  std::uint64_t header = 0;
  std::memcpy(&header, file.data(), sizeof header);
  const Json entry = Json::parse(file.substr(sizeof header, header)).at(name);
  const std::size_t at = file.find("\"" + name + "\"");
  change(file, at, sizeof header + header + entry.at("data_offsets").at(0).get<std::size_t>());
  spill(path, file);
}

}  // namespace

TEST_CASE("a checkpoint whose values are none ends with the tensor or the step named, and the code of damaged data") {
  const Sandbox box;
  const std::string name = "transformer_blocks.0.attn1.to_k.weight";
  const auto worker = real_worker();
  spoil(box, name,
        [](std::string& file, std::size_t entry, std::size_t) { file.replace(file.find("F16", entry), 3, "I16"); });
  const Ended inspected = box.stamp({"inspect", "spoilt/transformer"});
  CHECK(inspected.code == 6);
  CHECK(contains(inspected.err, name + " holds I16 values"));
  const auto sampled = [&](const std::string& part) {
    const Ended end = box.stamp({"sample", "spoilt", "--class", "3", "--steps", "2"}, worker);
    CAPTURE(end.err);
    CHECK(end.code == 6);
    CHECK(contains(end.err, part));
  };
  if (worker.empty()) return;
  sampled(name + " holds I16 values");
  spoil(box, name, [](std::string& file, std::size_t, std::size_t values) {
    file[values] = '\x00';
    file[values + 1] = '\x7e';  // NaN
  });
  sampled("denoising step 1 of 2: the denoiser gave NaN");
}

TEST_CASE("names of images that cannot be written to stdout are an error, not silence") {
  const auto worker = real_worker();
  if (worker.empty() || !fs::exists("/dev/full")) return;
  const Sandbox box;
  const std::string stamp = std::string(std::getenv("STAMP_BIN_DIR")) + "/stamp";
  const int status = std::system(("cd " + box.path().string() + " && STAMP_WORKER=" + worker.at("STAMP_WORKER") + " " +
                                  stamp + " sample " + pipeline("pixels") + " --class 3 --steps 2 > /dev/full 2> said")
                                     .c_str());
  CHECK(WEXITSTATUS(status) == 5);
  CHECK(contains(slurp(box.path() / "said"), "standard output could not be written"));
}
