#include "base/seed.h"

#include <cmath>
#include <numbers>
#include <numeric>

namespace stamp {
namespace {

// Steele, Lea and Flood 2014: the finaliser of SplitMix64.
std::uint64_t mix(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

// FNV-1a, so that a purpose is a number that does not depend on the standard library.
std::uint64_t purpose_hash(std::string_view text) {
  std::uint64_t h = 0xCBF29CE484222325u;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return h;
}

constexpr std::uint64_t kGamma = 0x9E3779B97F4A7C15u;

}  // namespace

RandomStream::RandomStream(std::uint64_t seed, std::string_view purpose, std::uint64_t index)
    : state_(mix(mix(mix(seed + kGamma) ^ purpose_hash(purpose)) + index * kGamma)) {}

std::uint64_t RandomStream::bits() {
  state_ += kGamma;
  return mix(state_);
}

double RandomStream::uniform() {
  return static_cast<double>(bits() >> 11) * 0x1.0p-53;
}

double RandomStream::normal() {
  // 1 - u lies in (0, 1], where the logarithm is finite. One value of the pair is thrown away: the stream then
  // has no hidden half-used state.
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * uniform());
}

std::uint64_t RandomStream::below(std::uint64_t n) {
  if (n < 2) return 0;
  const std::uint64_t threshold = (0 - n) % n;  // rejects the incomplete last block, so no value is favoured
  for (;;) {
    const std::uint64_t x = bits();
    if (x >= threshold) return x % n;
  }
}

std::vector<std::int64_t> permutation(std::int64_t n, std::uint64_t seed, std::string_view purpose) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  RandomStream stream(seed, purpose);
  for (std::int64_t i = n - 1; i > 0; --i) {
    const auto j = static_cast<std::int64_t>(stream.below(static_cast<std::uint64_t>(i) + 1));
    std::swap(order[static_cast<std::size_t>(i)], order[static_cast<std::size_t>(j)]);
  }
  return order;
}

}  // namespace stamp
