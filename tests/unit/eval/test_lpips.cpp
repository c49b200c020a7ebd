// LPIPS against the lpips package (scripts/reference/lpips_metric.py) and a slow twin, and the metric on made-up
// images.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <numeric>
#include <stdexcept>
#include <tuple>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "config/spec.h"
#include "eval/lpips.h"
#include "models/pipeline/image_set.h"
#include "models/vision/lpips_network.h"
#include "results/record.h"
#include "support/catch.h"
#include "support/message.h"
#include "support/paths.h"
#include "support/scratch.h"
#include "unit/images/pattern.h"
#include "unit/models/fixtures.h"

using namespace stamp;

namespace {

fs::path tiny_path() {
  return test::repository() / "tests" / "golden" / "lpips_tiny.safetensors";
}

// A layer adds d = sum w (x - y)^2 of feature vectors x, y of length 1, w being at most 1: an error e of x - y moves d
// by up to 2 sqrt(d) e. Single precision has e = 4e-7, measured on the package against itself in double; five times
// that is allowed.
double feature_error(double got, double d) {
  return std::fabs(got - d) / (2 * std::sqrt(d));
}
constexpr double tolerance = 2e-6;

struct Pair {
  Image a, b;
};
// A row of in.pairs: height, width, seed, seed of another image, sixteenths of that one in the second.
Pair pair_of(const std::int64_t* row) {
  const ByteImage first = test::pattern(row[0], row[1], row[2]), other = test::pattern(row[0], row[1], row[3]);
  ByteImage mixed = first;
  for (std::size_t i = 0; i < mixed.bytes.size(); ++i)
    mixed.bytes[i] = static_cast<std::uint8_t>(((16 - row[4]) * first.bytes[i] + row[4] * other.bytes[i]) / 16);
  return {to_floats(first), to_floats(mixed)};
}

struct Map {
  std::int64_t channels = 0, height = 0, width = 0;
  std::vector<double> values = {};
  double at(std::int64_t c, std::int64_t y, std::int64_t x) const {
    if (y < 0 || x < 0 || y >= height || x >= width) return 0;
    return values[static_cast<std::size_t>((c * height + y) * width + x)];
  }
};

Map convolved(const Checkpoint& file, const std::string& name, std::int64_t stride, std::int64_t padding,
              const Map& in) {
  const std::vector<float> weight = test::floats_of(file, name + ".weight"),
                           bias = test::floats_of(file, name + ".bias");
  const std::int64_t kernel = file.at(name + ".weight").shape[2];
  Map out{file.at(name + ".weight").shape[0], (in.height + 2 * padding - kernel) / stride + 1,
          (in.width + 2 * padding - kernel) / stride + 1};
  for (std::int64_t c = 0; c < out.channels; ++c)
    for (std::int64_t y = 0; y < out.height; ++y)
      for (std::int64_t x = 0; x < out.width; ++x) {
        double sum = bias[static_cast<std::size_t>(c)];
        auto w = static_cast<std::size_t>(c * in.channels * kernel * kernel);
        for (std::int64_t from = 0; from < in.channels; ++from)
          for (std::int64_t dy = 0; dy < kernel; ++dy)
            for (std::int64_t dx = 0; dx < kernel; ++dx)
              sum += weight[w++] * in.at(from, y * stride + dy - padding, x * stride + dx - padding);
        out.values.push_back(std::max(sum, 0.0));
      }
  return out;
}

Map pooled(const Map& in) {
  Map out{in.channels, (in.height - 3) / 2 + 1, (in.width - 3) / 2 + 1};
  for (std::int64_t c = 0; c < out.channels; ++c)
    for (std::int64_t y = 0; y < out.height; ++y)
      for (std::int64_t x = 0; x < out.width; ++x) {
        double largest = 0;  // of what a ReLU gave
        for (std::int64_t i = 0; i < 9; ++i) largest = std::max(largest, in.at(c, 2 * y + i / 3, 2 * x + i % 3));
        out.values.push_back(largest);
      }
  return out;
}

std::vector<Map> slow_features(const Checkpoint& file, const Image& image) {
  const double shift[] = {-0.030, -0.088, -0.188}, scale[] = {0.458, 0.448, 0.450};
  Map x{3, image.height, image.width};
  for (std::int64_t c = 0; c < 3; ++c)
    for (std::int64_t i = 0; i < image.height * image.width; ++i)
      x.values.push_back((2.0 * image.at(c, i / image.width, i % image.width) - 1 - shift[c]) / scale[c]);
  std::vector<Map> out;
  out.push_back(convolved(file, "features.0", 4, 2, x));
  out.push_back(convolved(file, "features.3", 1, 2, pooled(out[0])));
  out.push_back(convolved(file, "features.6", 1, 1, pooled(out[1])));
  out.push_back(convolved(file, "features.8", 1, 1, out[2]));
  out.push_back(convolved(file, "features.10", 1, 1, out[3]));
  return out;
}

double length(const Map& map, std::int64_t y, std::int64_t x) {
  double sum = 0;
  for (std::int64_t c = 0; c < map.channels; ++c) sum += map.at(c, y, x) * map.at(c, y, x);
  return std::sqrt(sum) + 1e-10;
}

double slow_part(const Map& a, const Map& b, const std::vector<float>& weights) {
  double sum = 0;
  for (std::int64_t y = 0; y < a.height; ++y)
    for (std::int64_t x = 0; x < a.width; ++x)
      for (std::int64_t c = 0; c < a.channels; ++c) {
        const double d = a.at(c, y, x) / length(a, y, x) - b.at(c, y, x) / length(b, y, x);
        sum += weights[static_cast<std::size_t>(c)] * d * d;
      }
  return sum / static_cast<double>(a.height * a.width);
}

// Changes the header of a safetensors file; of equal length, so that the offsets stay true.
std::string with_header(std::string bytes, const std::string& from, const std::string& to) {
  REQUIRE(from.size() == to.size());
  const std::size_t place = bytes.find(from);
  REQUIRE(place != std::string::npos);
  return bytes.replace(place, from.size(), to);
}

std::pair<std::string, std::string> trial_error(const std::function<void()>& action) {
  try {
    action();
  } catch (const TrialError& error) {
    return {error.kind(), error.what()};
  }
  return {"(no TrialError)", ""};
}

// Two finished images of the committed model's pipeline, of any size: nothing is sampled.
struct Made {
  TrialSpec spec;
  EvaluatorContext context;
  std::shared_ptr<const ImageSet> set;
  std::unique_ptr<FinishedImages> images;
  Made(std::int64_t height, std::int64_t width) {
    ImagePlan plan;
    plan.prompts = {{"0", "", 0}, {"1", "", 1}};
    plan.seeds = {0, 1};
    Sampling& s = plan.sampling;
    s.height = s.rendered_height = s.latent_height = height;
    s.width = s.rendered_width = s.latent_width = width;
    set = std::make_shared<const ImageSet>(
        open_pipeline((test::repository() / "results" / "cifar10_dit" / "checkpoint").string()), plan);
    images = std::make_unique<FinishedImages>(set, false);
    spec.images.lpips = tiny_path().string();
    context.protocol.assign(1, 'p');
    context.spec = &spec;
  }
};

// Values around [-1, 1], some beyond.
at::Tensor decoded(std::int64_t height, std::int64_t width, float phase) {
  at::Tensor image = at::empty({1, 3, height, width}, at::kFloat);
  float* values = image.mutable_data_ptr<float>();
  for (std::int64_t i = 0; i < image.numel(); ++i)
    values[i] = 1.2F * std::sin(static_cast<float>(i % 977) * 0.05F + phase);
  return image;
}

}  // namespace

TEST_CASE("LPIPS of two images is the lpips package's, layer by layer") {
  const auto file = open_checkpoint(tiny_path().string());
  const LpipsNetwork network(*file);
  CHECK(network.channels() == std::array<std::int64_t, 5>{8, 12, 16, 12, 8});
  CHECK_FALSE(network.is_alexnet());
  const std::vector<std::int64_t> pairs = test::ids_of(*file, "in.pairs");
  const std::vector<float> expected = test::floats_of(*file, "out.parts");
  const std::size_t count = pairs.size() / 5;
  REQUIRE(count >= 4);
  REQUIRE(expected.size() == count * 5);
  for (std::size_t i = 0; i < count; ++i) {
    CAPTURE(i, pairs[5 * i], pairs[5 * i + 1]);
    const Pair pair = pair_of(&pairs[5 * i]);
    const auto parts = network.parts(pair.a, pair.b);
    for (std::size_t layer = 0; layer < 5; ++layer) {
      CAPTURE(layer, parts[layer], expected[5 * i + layer]);
      CHECK(feature_error(parts[layer], static_cast<double>(expected[5 * i + layer])) < tolerance);
    }
    CHECK(network.distance(pair.a, pair.b) == Approx(std::accumulate(parts.begin(), parts.end(), 0.0)));
  }
}

TEST_CASE("LPIPS is that of plain loops in double precision") {
  const auto file = open_checkpoint(tiny_path().string());
  const LpipsNetwork network(*file);
  const std::int64_t row[] = {37, 46, 21, 22, 8};
  const Pair pair = pair_of(row);
  const auto fast = network.parts(pair.a, pair.b);
  const std::vector<Map> a = slow_features(*file, pair.a), b = slow_features(*file, pair.b);
  for (std::size_t layer = 0; layer < 5; ++layer) {
    const std::vector<float> weights = test::floats_of(*file, fmt::format("lin{}.model.1.weight", layer));
    const double slow = slow_part(a[layer], b[layer], weights);
    CAPTURE(layer, fast[layer], slow);
    CHECK(feature_error(fast[layer], slow) < tolerance);
  }
}

TEST_CASE("equal images have no distance, exactly, and two have the same either way round") {
  const LpipsNetwork network(*open_checkpoint(tiny_path().string()));
  const std::int64_t row[] = {45, 64, 1, 2, 16};
  const Pair pair = pair_of(row);
  CHECK(network.distance(pair.a, pair.a) == 0);
  CHECK(network.distance(pair.a, pair.b) > 0.01);
  CHECK(network.distance(pair.a, pair.b) == Approx(network.distance(pair.b, pair.a)));
}

TEST_CASE("LPIPS takes images of one size and of 31 pixels or more") {
  const LpipsNetwork network(*open_checkpoint(tiny_path().string()));
  CHECK_THROWS_AS(network.distance(Image(40, 40), Image(40, 41)), std::logic_error);
  CHECK_THROWS_AS(network.distance(Image(30, 64), Image(30, 64)), std::logic_error);
  CHECK_THROWS_AS(network.distance(Image(64, 30), Image(64, 30)), std::logic_error);
  CHECK(network.distance(Image(31, 31), Image(31, 31)) == 0);
}

TEST_CASE("weights that are not those of LPIPS are refused by the tensor's name") {
  const test::Scratch scratch;
  const std::string good = test::slurp(tiny_path());
  const auto refused = [&](const std::string& from, const std::string& to) {
    const fs::path path = scratch.path() / "changed.safetensors";
    test::spill(path, with_header(good, from, to));
    return test::data_error([&] { const LpipsNetwork network(*open_checkpoint(path.string())); });
  };
  std::string message = refused("features.6.bias", "features.6.bios");
  CHECK(test::lacks(message, "features.6.bias") == "");
  message = refused("lin2.model.1.weight", "lin2.model.0.weight");
  CHECK(test::lacks(message, "lin2.model.1.weight") == "");
  // As many numbers in another shape.
  message = refused("[12,8,5,5]", "[12,5,8,5]");
  CHECK(test::lacks(message, "features.3.weight has shape [12, 5, 8, 5], expected [12, 8, 5, 5]") == "");
  message = refused("[12,8,5,5]", "[2400]    ");
  CHECK(test::lacks(message, "features.3.weight has 1 dimensions") == "");
  message = refused("[1,16,1,1]", "[16,1,1,1]");
  CHECK(test::lacks(message, "lin2.model.1.weight") == "");
}

TEST_CASE("weights of LPIPS are a file or a folder with it") {
  const test::Scratch scratch;
  CHECK(test::lacks(test::data_error([&] { lpips_file(scratch.path().string()); }), "lpips.safetensors") == "");
  fs::copy_file(tiny_path(), scratch.path() / "lpips.safetensors");
  CHECK(lpips_file(scratch.path().string()) == (scratch.path() / "lpips.safetensors").string());
  CHECK(lpips_file(tiny_path().string()) == tiny_path().string());
}

TEST_CASE("the metric compares every image with the full-precision one, as numbers and not as bytes") {
  Made made(48, 33);
  const auto e = Lpips::make(made.context);
  CHECK_FALSE(e->has_reference());
  CHECK(e->judged_with(*made.images) == file_digest(tiny_path()));
  e->begin(*made.images);
  const LpipsNetwork network(*open_checkpoint(tiny_path().string()));
  std::vector<double> expected, of_bytes;
  for (std::int64_t i = 0; i < 2; ++i) {
    const at::Tensor reference = decoded(48, 33, 0.3F), image = decoded(48, 33, i == 0 ? 0.35F : 0.3F);
    WorkItem item;
    item.index = i;
    Outputs outputs;
    outputs.named["image_fp"] = reference;
    outputs.named["image"] = image;
    e->observe(item, outputs);
    const Sampling& s = made.set->plan().sampling;
    const Image a = made.set->pipeline().finish(s, reference), b = made.set->pipeline().finish(s, image);
    expected.push_back(network.distance(a, b));
    of_bytes.push_back(network.distance(to_floats(to_bytes(a)), to_floats(to_bytes(b))));
  }
  const std::vector<Metric> metrics = e->finish({});
  REQUIRE(metrics.size() == 1);
  const Metric& m = metrics[0];
  CHECK(m.name == "lpips");
  CHECK(m.over == "images");
  CHECK(m.n == 2);
  CHECK(m.lower_is_better);
  CHECK(m.unit.empty());
  REQUIRE(m.items.size() == 2);
  CHECK(m.items[0] == Approx(expected[0]));
  CHECK(std::fabs(m.items[0] - of_bytes[0]) > 1e-5 * m.items[0]);
  CHECK(m.items[1] == 0);
  CHECK(m.value == Approx(expected[0] / 2));
  CHECK(m.protocol == fmt::format("p, LPIPS 0.1 of images not rounded to bytes, a network of 8-12-16-12-8 channels {}",
                                  file_digest(tiny_path()).substr(0, 8)));
}

TEST_CASE("without weights, or of images too small for them, the trial ends with a reason") {
  Made made(32, 32);
  const char* own = std::getenv("STAMP_LPIPS");
  const std::string kept = own == nullptr ? "" : own;
  unsetenv("STAMP_LPIPS");
  made.spec.images.lpips = "auto";
  const auto begin = [&] { Lpips::make(made.context)->begin(*made.images); };
  auto [kind, message] = trial_error(begin);
  CHECK(kind == "missing");
  CHECK(test::lacks(message, "scripts/lpips_weights.py") == "");
  CHECK(test::lacks(message, "$STAMP_LPIPS") == "");
  CHECK(trial_error([&] { Lpips::make(made.context)->judged_with(*made.images); }).first == "missing");

  setenv("STAMP_LPIPS", tiny_path().c_str(), 1);
  CHECK_NOTHROW(begin());
  own == nullptr ? unsetenv("STAMP_LPIPS") : setenv("STAMP_LPIPS", kept.c_str(), 1);

  made.spec.images.lpips = (test::repository() / "tests").string();
  std::tie(kind, message) = trial_error(begin);
  CHECK(kind == "missing");
  CHECK(test::lacks(message, "lpips.safetensors") == "");
  made.spec.images.lpips = (test::repository() / "results" / "cifar10_dit" / "classifier.safetensors").string();
  std::tie(kind, message) = trial_error(begin);
  CHECK(kind == "missing");
  CHECK(test::lacks(message, "features.0.weight") == "");

  Made small(30, 64);
  std::tie(kind, message) = trial_error([&] { Lpips::make(small.context)->begin(*small.images); });
  CHECK(kind == "unsupported");
  CHECK(test::lacks(message, "31 x 31 pixels or more") == "");
  CHECK(test::lacks(message, "30 x 64") == "");
  const ImageSet& steps = *made.set;
  CHECK(trial_error([&] { Lpips::make(made.context)->begin(steps); }).first == "unsupported");
}
