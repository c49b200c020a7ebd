#include "methods/seeded_rotations.h"

#include "base/error.h"

namespace stamp {

SeededRotations::SeededRotations(const MethodContext& context, std::string method)
    : method_(std::move(method)),
      random_(text_option(context.options, "rotation") == "random"),
      seed_(context.seed + static_cast<std::uint64_t>(integer_option(context.options, "seed"))),
      warn_(context.warn) {}

std::shared_ptr<const FeatureTransform> SeededRotations::with_signs(std::int64_t size, const std::string& purpose,
                                                                    const std::string& what) const {
  if (!random_ && hadamard_exists(size)) return randomized_hadamard(size, seed_, method_ + " " + purpose);
  return orthogonal(size, purpose, what);
}

std::shared_ptr<const FeatureTransform> SeededRotations::plain(std::int64_t size, const std::string& purpose,
                                                               const std::string& what) const {
  if (!random_ && hadamard_exists(size)) return hadamard(size);
  return orthogonal(size, purpose, what);
}

std::shared_ptr<const FeatureTransform> SeededRotations::orthogonal(std::int64_t size, const std::string& purpose,
                                                                    const std::string& what) const {
  if (!random_ && warn_)
    warn_(method_ + ": no Hadamard matrix of size " + std::to_string(size) + " is known; " + what +
          " is rotated with a seeded random orthogonal matrix");
  return random_orthogonal(size, seed_, method_ + " " + purpose, torch_gemm);
}

ResidualRotation& rotatable(Network& network, const std::string& method) {
  ResidualRotation* residual = network.residual_rotation();
  if (!residual)
    throw TrialError("method", method + " needs a model whose residual stream can be rotated (a decoder with RMSNorm)");
  return *residual;
}

}  // namespace stamp
