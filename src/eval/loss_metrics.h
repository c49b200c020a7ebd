// What a mean next-token loss and its perplexity look like as metrics.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "results/record.h"

namespace stamp {

// Mean of one item's losses; TrialError ("nan_metric") naming `metric` and the item when it is not finite.
double checked_mean(std::span<const float> losses, const std::string& metric, std::int64_t item);

// Perplexity, then loss in nats: means over the items with intervals. `like` holds what both share (over, n, protocol);
// `prefix` stands before "perplexity" and "nll". TrialError ("nan_metric") when exp of the mean is not finite.
std::vector<Metric> loss_metrics(const std::vector<double>& means, const Metric& like, const std::string& prefix = "");

}  // namespace stamp
