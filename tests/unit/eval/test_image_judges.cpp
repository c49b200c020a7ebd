// The classifier of samples against PyTorch's and a slow twin; the Frechet distance against PyTorch's and closed forms.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "base/sha256.h"
#include "eval/frechet.h"
#include "models/vision/sample_classifier.h"
#include "support/catch.h"
#include "support/paths.h"
#include "support/scratch.h"

using namespace stamp;

namespace {

fs::path weights_path() {
  return test::repository() / "results" / "cifar10_dit" / "classifier.safetensors";
}

Json golden() {
  return Json::parse(read_file(test::repository() / "tests" / "golden" / "classifier.json"));
}

// As scripts/reference/classifier.py makes them.
ByteImage pattern(std::int64_t k) {
  ByteImage image(SampleClassifier::side, SampleClassifier::side);
  for (std::int64_t y = 0; y < image.height; ++y)
    for (std::int64_t x = 0; x < image.width; ++x)
      for (std::int64_t c = 0; c < 3; ++c)
        image.pixel(y, x)[c] =
            static_cast<std::uint8_t>(((x * (3 + k) + y * (7 + 2 * k) + c * 40 * (k + 1)) * 5 + x * y) % 256);
  return image;
}

std::vector<double> values_of(const Checkpoint& file, const std::string& name) {
  TensorInfo tensor = file.at(name);
  std::vector<float> floats(static_cast<std::size_t>(tensor.elements()));
  read_rows(tensor, 0, tensor.rows(), floats.data());
  return {floats.begin(), floats.end()};
}

struct Map {
  std::int64_t channels = 0, side = 0;
  std::vector<double> values;
  double at(std::int64_t c, std::int64_t y, std::int64_t x) const {
    if (y < 0 || x < 0 || y >= side || x >= side) return 0;
    return values[static_cast<std::size_t>((c * side + y) * side + x)];
  }
};

Map convolved(const Checkpoint& file, int i, const Map& in) {
  const std::string name = std::string("conv.") + std::to_string(i);
  const std::vector<double> weight = values_of(file, name + ".weight"), bias = values_of(file, name + ".bias");
  const std::int64_t kernel = file.at(name + ".weight").shape[2], stride = i == 0 ? 2 : 1;
  Map out;
  out.channels = file.at(name + ".weight").shape[0];
  out.side = (in.side + 2 - kernel) / stride + 1;
  for (std::int64_t c = 0; c < out.channels; ++c)
    for (std::int64_t y = 0; y < out.side; ++y)
      for (std::int64_t x = 0; x < out.side; ++x) {
        double sum = bias[static_cast<std::size_t>(c)];
        std::size_t w = static_cast<std::size_t>(c * in.channels * kernel * kernel);
        for (std::int64_t from = 0; from < in.channels; ++from)
          for (std::int64_t dy = 0; dy < kernel; ++dy)
            for (std::int64_t dx = 0; dx < kernel; ++dx)
              sum += weight[w++] * in.at(from, y * stride + dy - 1, x * stride + dx - 1);
        out.values.push_back(std::max(sum, 0.0));
      }
  return out;
}

Map pooled(const Map& in) {
  Map out{in.channels, in.side / 2, {}};
  for (std::int64_t c = 0; c < out.channels; ++c)
    for (std::int64_t y = 0; y < out.side; ++y)
      for (std::int64_t x = 0; x < out.side; ++x)
        out.values.push_back(std::max({in.at(c, 2 * y, 2 * x), in.at(c, 2 * y, 2 * x + 1), in.at(c, 2 * y + 1, 2 * x),
                                       in.at(c, 2 * y + 1, 2 * x + 1)}));
  return out;
}

std::vector<double> slow_features(const Checkpoint& file, const ByteImage& image) {
  Map x{3, SampleClassifier::side, {}};
  for (std::int64_t c = 0; c < 3; ++c)
    for (std::int64_t i = 0; i < x.side * x.side; ++i)
      x.values.push_back(image.bytes[static_cast<std::size_t>(3 * i + c)] / 127.5 - 1);
  x = pooled(convolved(file, 1, convolved(file, 0, x)));
  x = pooled(convolved(file, 2, x));
  const Map added = convolved(file, 3, x);
  for (std::size_t i = 0; i < x.values.size(); ++i) x.values[i] += added.values[i];
  x = convolved(file, 4, x);
  std::vector<double> means(static_cast<std::size_t>(x.channels), 0);
  const std::size_t pixels = static_cast<std::size_t>(x.side * x.side);
  for (std::size_t i = 0; i < x.values.size(); ++i) means[i / pixels] += x.values[i] / static_cast<double>(pixels);
  return means;
}

at::Tensor vector_of(const std::vector<double>& values) {
  at::Tensor t = at::empty({static_cast<std::int64_t>(values.size())}, at::kDouble);
  std::copy(values.begin(), values.end(), t.mutable_data_ptr<double>());
  return t;
}
at::Tensor diagonal(const std::vector<double>& values) {
  const auto n = static_cast<std::int64_t>(values.size());
  at::Tensor t = at::zeros({n, n}, at::kDouble);
  for (std::int64_t i = 0; i < n; ++i) t.mutable_data_ptr<double>()[i * n + i] = values[static_cast<std::size_t>(i)];
  return t;
}

// Mean and unbiased covariance, one number after the other.
std::pair<at::Tensor, at::Tensor> slow_gaussian(const std::vector<std::vector<float>>& rows) {
  const std::size_t d = rows.front().size();
  std::vector<double> mean(d, 0);
  for (const auto& row : rows)
    for (std::size_t i = 0; i < d; ++i) mean[i] += row[i] / static_cast<double>(rows.size());
  at::Tensor covariance = at::zeros({static_cast<std::int64_t>(d), static_cast<std::int64_t>(d)}, at::kDouble);
  double* out = covariance.mutable_data_ptr<double>();
  for (const auto& row : rows)
    for (std::size_t i = 0; i < d; ++i)
      for (std::size_t j = 0; j < d; ++j)
        out[i * d + j] += (row[i] - mean[i]) * (row[j] - mean[j]) / static_cast<double>(rows.size() - 1);
  return {vector_of(mean), covariance};
}

}  // namespace

TEST_CASE("the classifier gives PyTorch's features and logits") {
  const Json expected = golden();
  INFO("scripts/reference/classifier.py writes tests/golden/classifier.json of the classifier that is committed");
  REQUIRE(expected.at("classifier_sha256") == sha256_hex(read_file(weights_path())));
  const SampleClassifier classifier(open_checkpoint(weights_path().string()));
  CHECK(classifier.classes() == 10);
  CHECK(classifier.features() == 128);
  double gap = 0, largest = 0;
  const auto compare = [&](const Json& wanted, const std::vector<float>& got) {
    REQUIRE(wanted.size() == got.size());
    for (std::size_t i = 0; i < got.size(); ++i) {
      gap = std::max(gap, std::fabs(wanted[i].get<double>() - static_cast<double>(got[i])));
      largest = std::max(largest, std::fabs(wanted[i].get<double>()));
    }
  };
  for (std::size_t k = 0; k < expected.at("logits").size(); ++k) {
    const auto answer = classifier.ask(pattern(static_cast<std::int64_t>(k)));
    compare(expected.at("logits")[k], answer.logits);
    compare(expected.at("features")[k], answer.features);
    const auto& logits = expected.at("logits")[k];
    CHECK(logits[static_cast<std::size_t>(answer.best())] == *std::max_element(logits.begin(), logits.end()));
  }
  CAPTURE(gap, largest);
  CHECK(gap < 1e-5 * largest);
}

TEST_CASE("the classifier's features are those of plain loops in double precision") {
  const std::shared_ptr<const Checkpoint> file = open_checkpoint(weights_path().string());
  const SampleClassifier classifier(file);
  const std::vector<double> slow = slow_features(*file, pattern(5));
  const std::vector<float> fast = classifier.ask(pattern(5)).features;
  const double largest = *std::max_element(slow.begin(), slow.end());
  double gap = 0;
  for (std::size_t i = 0; i < slow.size(); ++i) gap = std::max(gap, std::fabs(slow[i] - static_cast<double>(fast[i])));
  CAPTURE(gap, largest);
  CHECK(gap < 1e-5 * largest);
}

TEST_CASE("a classifier is found in the pipeline's folder and in the one that holds it") {
  const test::Scratch scratch;
  const fs::path pipeline = scratch.path() / "model" / "pipeline";
  fs::create_directories(pipeline / "transformer");
  std::ofstream(pipeline / "model_index.json") << "{}";
  CHECK(classifier_beside(pipeline.string()).empty());
  const auto found = [&](const fs::path& model) { return fs::path(classifier_beside(model.string())); };
  const fs::path outside = fs::weakly_canonical(scratch.path()) / "model" / "classifier.safetensors";
  std::ofstream(outside) << "x";
  CHECK(found(pipeline) == outside);
  CHECK(found(pipeline / "transformer") == outside);
  fs::create_directories(pipeline / "classifier");
  std::ofstream(pipeline / "classifier" / "classifier.safetensors") << "x";
  CHECK(found(pipeline) == fs::weakly_canonical(pipeline) / "classifier" / "classifier.safetensors");
  CHECK(classifier_file(outside.string()) == outside);
  CHECK(classifier_file((pipeline / "classifier").string()) == pipeline / "classifier" / "classifier.safetensors");
  CHECK_THROWS_AS(classifier_file((pipeline / "transformer").string()), DataError);
}

TEST_CASE("the Frechet distance of Gaussians with diagonal covariances is that of their means and deviations") {
  const std::vector<double> m1{1, -2, 0.5}, m2{0, 1, 0.5}, v1{4, 0.25, 0}, v2{1, 9, 2};
  double expected = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    const double mean = m1[i] - m2[i], deviation = std::sqrt(v1[i]) - std::sqrt(v2[i]);
    expected += mean * mean + deviation * deviation;
  }
  CHECK(frechet_distance(vector_of(m1), diagonal(v1), vector_of(m2), diagonal(v2)) == Approx(expected));
}

TEST_CASE("the Frechet distance of a set from itself is nothing and does not depend on the order of two sets") {
  const SampleClassifier classifier(open_checkpoint(weights_path().string()));
  std::vector<std::vector<float>> first, second;
  for (std::int64_t k = 0; k < 24; ++k) (k < 12 ? first : second).push_back(classifier.ask(pattern(k)).features);
  const auto [m1, c1] = slow_gaussian(first);
  const auto [m2, c2] = slow_gaussian(second);
  const double distance = frechet_distance(m1, c1, m2, c2);
  CHECK(std::fabs(frechet_distance(m1, c1, m1, c1)) < 1e-6 * distance);
  CHECK(frechet_distance(m2, c2, m1, c1) == Approx(distance).epsilon(1e-6));
  // scripts/dit/classifier.py's frechet() of the same sets.
  CHECK(distance == Approx(golden().at("frechet").get<double>()).epsilon(1e-5));
}
