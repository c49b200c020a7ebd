#include "eval/frechet.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linalg_eigh.h>
#include <ATen/ops/linalg_eigvalsh.h>
#include <ATen/ops/mm.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/files.h"
#include "eval/image_metrics.h"
#include "eval/sample_judge.h"
#include "models/decoder/decoder_loader.h"
#include "models/pipeline/image_set.h"
#include "models/text/t5_config.h"
#include "models/vision/sample_classifier.h"

namespace stamp {
namespace {

constexpr const char* statistics_suffix = ".statistics.safetensors";

struct Gaussian {
  at::Tensor mean, covariance;  // float64
};

// Symmetric, and non-negative but for rounding, which is cut off.
at::Tensor root(const at::Tensor& matrix) {
  const auto [values, vectors] = at::linalg_eigh(matrix);
  return at::mm(vectors.mul(values.clamp_min(0).sqrt()), vectors.t());
}

class FeatureSet {
 public:
  void add(const std::vector<float>& features) {
    width_ = static_cast<std::int64_t>(features.size());
    values_.insert(values_.end(), features.begin(), features.end());
  }
  std::int64_t count() const { return width_ == 0 ? 0 : static_cast<std::int64_t>(values_.size()) / width_; }
  Gaussian gaussian() const {  // unbiased covariance
    at::Tensor x = at::empty({count(), width_}, at::kDouble);
    std::copy(values_.begin(), values_.end(), x.mutable_data_ptr<double>());
    const at::Tensor mean = x.mean(0), centred = x.sub(mean);
    return {mean, at::mm(centred.t(), centred).div(static_cast<double>(count() - 1))};
  }

 private:
  std::int64_t width_ = 0;
  std::vector<double> values_;
};

// Of the data set's test images, where scripts/dit/statistics.py has written them beside the classifier.
std::optional<Gaussian> test_statistics(const SampleJudge& judge) {
  const fs::path path = fs::path(judge.file()).replace_extension(statistics_suffix);
  std::error_code code;
  if (!fs::exists(path, code)) return std::nullopt;
  const std::unique_ptr<const Checkpoint> file = open_checkpoint(path.string());
  const Json& config = file->config();
  const std::string of = config.is_object() ? config.value("classifier_sha256", "") : "";
  if (of != judge.digest())
    throw TrialError("missing", fmt::format("frechet: {} was made with another classifier than {}; "
                                            "scripts/dit/statistics.py writes it again",
                                            path.string(), judge.file()));
  const std::int64_t d = judge.classifier().features();
  return Gaussian{load_vector(tensor_of_shape(*file, "mean", {d})).to(at::kDouble),
                  load_matrix(tensor_of_shape(*file, "covariance", {d, d})).to(at::kDouble)};
}

class FrechetEvaluator : public Evaluator {
 public:
  explicit FrechetEvaluator(EvaluatorContext context) : context_(std::move(context)) {}

  std::string judged_with(const Workload& workload) const override {
    return SampleJudge("frechet", *context_.spec, workload).digest();
  }
  void begin(const Workload& workload) override {
    judge_.emplace("frechet", *context_.spec, workload);
    try {
      test_ = test_statistics(*judge_);
    } catch (const DataError& error) {
      throw TrialError("missing", std::string("frechet: ") + error.what());
    }
    if (workload.count() < 2)
      throw TrialError("unsupported", "frechet compares two sets of images; images.count is below 2");
  }

  void observe(const WorkItem&, const Outputs& outputs) override {
    mine_.add(judge_->classifier().ask(judge_->pixels(outputs.named.at("image"))).features);
    if (!context_.full_precision)
      others_.add(judge_->classifier().ask(judge_->pixels(outputs.named.at("image_fp"))).features);
  }

  std::vector<Metric> finish(const std::vector<SlotResult>&) override {
    std::vector<Metric> all;
    if (mine_.count() < 2) return all;
    const Gaussian mine = mine_.gaussian();
    const auto add = [&](const char* name, const Gaussian& other) {
      Metric m;
      m.name = name;
      m.over = "images";
      m.n = mine_.count();
      m.protocol = context_.protocol + fmt::format(", classifier {}", judge_->digest().substr(0, 8));
      m.value = frechet_distance(mine.mean, mine.covariance, other.mean, other.covariance);
      if (!(m.value == m.value)) throw TrialError("nan_metric", std::string(name) + " is not a number");
      all.push_back(std::move(m));
    };
    // The full-precision images have no distance from themselves.
    if (!context_.full_precision) add("frechet", others_.gaussian());
    if (test_) add("frechet_test", *test_);
    return all;
  }

 private:
  EvaluatorContext context_;
  std::optional<SampleJudge> judge_;
  std::optional<Gaussian> test_;
  FeatureSet mine_, others_;
};

}  // namespace

double frechet_distance(const at::Tensor& mean1, const at::Tensor& covariance1, const at::Tensor& mean2,
                        const at::Tensor& covariance2) {
  const at::Tensor half = root(covariance1);
  const at::Tensor crossed = at::linalg_eigvalsh(at::mm(at::mm(half, covariance2), half)).clamp_min(0).sqrt().sum();
  const auto number = [](const at::Tensor& t) { return t.item<double>(); };
  return number(mean1.sub(mean2).square().sum()) + number(covariance1.trace()) + number(covariance2.trace()) -
         2 * number(crossed);
}

std::unique_ptr<Evaluator> Frechet::make(const EvaluatorContext& context) {
  return std::make_unique<FrechetEvaluator>(context);
}

}  // namespace stamp
