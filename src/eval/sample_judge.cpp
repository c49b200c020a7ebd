#include "eval/sample_judge.h"

#include <ATen/core/Tensor.h>
#include <fmt/format.h>

#include "base/error.h"
#include "base/files.h"
#include "config/spec.h"
#include "models/pipeline/image_set.h"
#include "models/vision/sample_classifier.h"

namespace stamp {

SampleJudge::SampleJudge(const std::string& metric, const TrialSpec& spec, const Workload& workload)
    : images_(dynamic_cast<const FinishedImages*>(&workload)) {
  if (!images_) throw TrialError("unsupported", metric + " needs images; this model makes none");
  const Sampling& sampling = images_->set().plan().sampling;
  if (sampling.height != SampleClassifier::side || sampling.width != SampleClassifier::side)
    throw TrialError("unsupported",
                     fmt::format("{} asks a classifier of {} x {} pixels; these images have {} x {}", metric,
                                 SampleClassifier::side, SampleClassifier::side, sampling.height, sampling.width));
  const std::string& named = spec.images.classifier;
  try {
    file_ = named == "auto" ? classifier_beside(spec.model.path) : classifier_file(named);
    if (file_.empty())
      throw TrialError("missing",
                       fmt::format("{}: no classifier.safetensors beside {}; name one with images.classifier "
                                   "(`scripts/train_dit.py classifier` writes it)",
                                   metric, spec.model.path));
    classifier_ = std::make_unique<const SampleClassifier>(open_checkpoint(file_));
  } catch (const DataError& error) {
    throw TrialError("missing", metric + ": " + error.what());
  }
}

SampleJudge::~SampleJudge() = default;

std::string SampleJudge::digest() const {
  return file_digest(file_);
}

ByteImage SampleJudge::pixels(const at::Tensor& decoded) const {
  return to_bytes(images_->set().pipeline().finish(images_->set().plan().sampling, decoded));
}

}  // namespace stamp
