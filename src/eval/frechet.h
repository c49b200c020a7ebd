// Frechet distance between sets of images in the features of a small classifier. It compares images of one data set
// with each other and is no FID, whose features are Inception's. Specification methods 13.4.
#pragma once
#include "eval/evaluator.h"

namespace at {
class Tensor;
}

namespace stamp {

struct Frechet {
  static PluginInfo info() {
    PluginInfo i;
    i.name = "frechet";
    i.summary =
        "Frechet distance in the features of a small classifier: from the full-precision images, and from the test set "
        "where its statistics lie beside the classifier; it grows as images get fewer, so compare equal numbers; no "
        "FID";
    i.source = "Frechet 1957 for Gaussians; the classifier: scripts/dit/classifier.py";
    i.reads = "images";
    return i;
  }
  static std::unique_ptr<Evaluator> make(const EvaluatorContext& context);
};

// |m1 - m2|^2 + tr(C1 + C2 - 2 (C1^1/2 C2 C1^1/2)^1/2) of two Gaussians. Means d, covariances d x d, float64.
double frechet_distance(const at::Tensor& mean1, const at::Tensor& covariance1, const at::Tensor& mean2,
                        const at::Tensor& covariance2);

}  // namespace stamp
