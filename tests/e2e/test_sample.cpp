// `stamp sample`: what reaches the worker, what is refused before one starts, and images of a tiny pipeline.
#include <cstdlib>

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

TEST_CASE("what a pipeline lacks or does not take ends the verb with the code of missing data") {
  const auto worker = real_worker();
  if (worker.empty()) return;
  const Sandbox box;
  const auto refused = [&](std::vector<std::string> arguments, const std::string& part) {
    arguments.insert(arguments.begin(), "sample");
    const Ended end = box.stamp(arguments, worker);
    CAPTURE(end.err, part);
    CHECK(end.code == 6);
    CHECK(contains(end.err, part));
  };
  fs::copy(pipeline("dit"), box.path() / "dit", fs::copy_options::recursive);
  fs::remove_all(box.path() / "dit" / "vae");
  refused({"dit", "--class", "3"}, "vae: the folder is missing");
  refused({pipeline("dit"), "--class", "2000"}, "the classes 0 to 999");
  refused({pipeline("dit"), "--prompt", "a cat"}, "reads classes");
  refused({pipeline("dit"), "--class", "3", "--height", "17", "--width", "17"}, "multiples of 4");
  refused({"nowhere", "--class", "3"}, "nowhere");
}
