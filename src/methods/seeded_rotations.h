// The rotations that QuaRot and SpinQuant begin with: Hadamard where one exists, seeded random orthogonal otherwise or
// on request. Specification methods 6.2, 6.3.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "methods/method.h"
#include "models/network.h"
#include "transforms/feature_transform.h"

namespace stamp {

class SeededRotations {
 public:
  // Reads the options `rotation` ("random" or not) and `seed`. `method` leads messages and addresses the random
  // streams.
  SeededRotations(const MethodContext& context, std::string method);

  // Signs make a Hadamard matrix one of many, so that its seed matters. `what` is rotated, for the warning where no
  // Hadamard matrix of that size is known.
  std::shared_ptr<const FeatureTransform> with_signs(std::int64_t size, const std::string& purpose,
                                                     const std::string& what) const;
  std::shared_ptr<const FeatureTransform> plain(std::int64_t size, const std::string& purpose,
                                                const std::string& what) const;
  std::uint64_t seed() const { return seed_; }

 private:
  std::shared_ptr<const FeatureTransform> orthogonal(std::int64_t size, const std::string& purpose,
                                                     const std::string& what) const;
  std::string method_;
  bool random_;
  std::uint64_t seed_;
  std::function<void(const std::string&)> warn_;
};

// The residual stream of a network; TrialError ("method") naming `method` where it cannot be rotated.
ResidualRotation& rotatable(Network& network, const std::string& method);

}  // namespace stamp
