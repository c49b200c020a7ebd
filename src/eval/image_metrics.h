// What the metrics of images share.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "images/image.h"
#include "results/record.h"

namespace at {
class Tensor;
}

namespace stamp {

std::span<const float> values_of_tensor(const at::Tensor& contiguous);  // float32

// The mean over items with its interval. Nothing where an item is infinite: what equals its reference has no ratio in
// dB. `like` holds over, protocol and the direction; n is set. TrialError ("nan_metric") naming the item for NaN.
std::vector<Metric> mean_metric(const std::string& name, const std::string& unit, const std::vector<double>& items,
                                const Metric& like);
// 1 x 3 x H x W, about -1 to 1, as an image in [0, 1].
Image image_of(const at::Tensor& decoded);

// Where the weights of a judge lie that are the user's: a setting of `images`, or where it is auto the variable of the
// environment. TrialError ("missing") with `wanted` where neither says.
std::string judge_weights(const std::string& setting, const char* variable, const char* wanted);

}  // namespace stamp
