// Two feature transforms one after the other.
#pragma once
#include <memory>

#include "transforms/feature_transform.h"

namespace stamp {

// x -> (x A) B. std::logic_error where the sizes differ.
std::unique_ptr<FeatureTransform> chain(std::shared_ptr<const FeatureTransform> a,
                                        std::shared_ptr<const FeatureTransform> b);

}  // namespace stamp
