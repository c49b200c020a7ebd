// Randomness is addressed, not consumed: a stream is a function of (seed, purpose, index) and nothing else.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

namespace stamp {

// Counter-based 64-bit stream (SplitMix64 over a hashed key); its first words are pinned by a test.
class RandomStream {
 public:
  RandomStream(std::uint64_t seed, std::string_view purpose, std::uint64_t index = 0);
  std::uint64_t bits();
  double uniform();                      // [0, 1)
  double normal();                       // Box-Muller
  std::uint64_t below(std::uint64_t n);  // unbiased, 0..n-1
  int sign() { return bits() >> 63 ? 1 : -1; }

 private:
  std::uint64_t state_;
};

// One permutation of 0..n-1; a subset of k is its first k entries, so that subsets nest.
std::vector<std::int64_t> permutation(std::int64_t n, std::uint64_t seed, std::string_view purpose);

}  // namespace stamp
