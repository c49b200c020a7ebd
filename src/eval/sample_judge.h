// Finished images as the classifier of their own data set sees them: what class_accuracy and frechet share.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "images/image.h"

namespace at {
class Tensor;
}

namespace stamp {

class FinishedImages;
class SampleClassifier;
class Workload;
struct TrialSpec;

class SampleJudge {
 public:
  // images.classifier of the trial, or the one beside its model. TrialError ("unsupported") where `workload` makes no
  // images, or of other sizes than the classifier's; ("missing") where there is no classifier. `metric`: for messages.
  SampleJudge(const std::string& metric, const TrialSpec& spec, const Workload& workload);
  ~SampleJudge();
  const SampleClassifier& classifier() const { return *classifier_; }
  const FinishedImages& images() const { return *images_; }
  const std::string& file() const { return file_; }
  std::string digest() const;  // SHA-256 of the classifier's file
  // `decoded`: 1 x 3 x H x W in about [-1, 1], finished and rounded to bytes as a file of it would be.
  ByteImage pixels(const at::Tensor& decoded) const;

 private:
  const FinishedImages* images_;
  std::string file_;
  std::unique_ptr<const SampleClassifier> classifier_;
};

}  // namespace stamp
