// A packet basis for tests of transforms as such: some nodes of its tree are split and others are not.
#pragma once
#include <algorithm>
#include <memory>
#include <vector>

#include "support/matrices.h"
#include "transforms/haar.h"
#include "transforms/haar_packets.h"

namespace stamp::test {

inline std::shared_ptr<const std::vector<float>> some_packets(std::int64_t tokens) {
  PacketEnergies energies(tokens, static_cast<int>(std::min<std::int64_t>(haar_full_depth(tokens), 4)));
  energies.add(gaussian(tokens, 3, 11).view());
  return std::make_shared<const std::vector<float>>(
      floats_of(best_packets_for_two_levels(energies, std::max<std::int64_t>(1, tokens / 8), 4, 8)));
}

}  // namespace stamp::test
