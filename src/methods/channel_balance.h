// What the methods for inputs without a norm of their own share: statistics of what the sites of a block read, and
// scales and rotations of a site that leave its function as it is. Specification methods 6.6, 9, 10, 11.
#pragma once
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "methods/method.h"
#include "models/network.h"

namespace stamp {

// Runs the block, unquantized and as it is now, on every calibration item and shows what site k of block_sites() reads
// (s x d) before it is multiplied. From block() of methods with needs_block_inputs; std::logic_error otherwise.
void over_site_inputs(Network& network, std::size_t block, const MethodContext& context,
                      const std::function<void(std::size_t k, const at::Tensor& x, const Segments& segments)>& visit);

// Largest |W_ij| of every input j over all layers of the site.
std::vector<double> input_maxima(LinearSite& site);

// x diag(1/factors) R and W diag(factors) R: the scale goes into what makes the input where that is possible, otherwise
// it is applied online with the rotation (null = none). Factors that are not finite and positive count as 1. The site
// has no online transform yet.
void balance(LinearSite& site, std::vector<double> factors, std::shared_ptr<const FeatureTransform> rotation);

}  // namespace stamp
