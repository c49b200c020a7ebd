// How bits go to transformed tokens. Specification methods 2.2, 2.6; paper section 3.3.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/plugin.h"

namespace stamp {

enum class Pick { first, magnitude, energy };

// Bits of the s rows of one slot. Either fixed (`bits`), or chosen for every sample from its own rows (`dynamic`):
// the `high_tokens` rows with the largest absolute value get high_bits.
struct RowBits {
  std::vector<float> bits;  // s values; for dynamic ones all = low_bits
  bool dynamic = false;
  std::int64_t high_tokens = 0;
  float high_bits = 8;
  double average() const;  // average bits of a row, dynamic ones included
};

struct AllocationRequest {
  std::int64_t tokens = 0;        // s
  double low_bits = 4;            // activations.bits (kv_cache.bits for caches)
  Json options = Json::object();  // complete
  // From calibration, per transformed row: e_i = E||t_i||^2, and C_i e_i = d * E[r_i^2] (specification 2.6).
  std::span<const double> energies;
  std::span<const double> spread_energies;
};

struct AllocatorPlugin {
  PluginInfo info;
  bool (*needs_energies)(const Json& options);
  RowBits (*allocate)(const AllocationRequest&);
};
const std::vector<AllocatorPlugin>& allocators();  // uniform, two_level, optimal, integer
const AllocatorPlugin& allocator(const std::string& name);

}  // namespace stamp
