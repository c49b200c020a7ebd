// What calibrated ranges say of the noise of a slot's rows before any of them is quantized: B3, specification methods
// 2.6.
#pragma once
#include <span>

#include "quant/allocation.h"

namespace stamp {

// sum_i C_i e_i / (12 N_i^2); rows at 16 bits add nothing, rows below one bit become zero and add their energy. Bits
// that are chosen anew for every sample (RowBits::dynamic) are taken to go to the rows with the largest ranges in the
// mean. `energies`, `spread_energies`: as in AllocationRequest, one value for every row.
double predicted_noise(const RowBits& bits, std::span<const double> energies, std::span<const double> spread_energies);

}  // namespace stamp
