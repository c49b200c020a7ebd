// Haar wavelet packets and the best basis among them. A packet tree splits details as Haar splits approximations; every
// way to stop splitting is an orthonormal basis. The basis of a slot is chosen from the mean energies that calibration
// finds for every coefficient of the full tree, exactly, by dynamic programming over the tree (R. R. Coifman, M. V.
// Wickerhauser, Entropy-based algorithms for best basis selection, 1992), for the cost that Theorem 1 gives it.
//
// Layout, in place: after l levels row q belongs to node q mod 2^l and is its coefficient q / 2^l (rounded down).
// Splitting a node of level l turns the rows q and q + 2^l into sum and difference over sqrt 2; an unpaired last row
// stays in the low half (specification methods 2.5). Blocks of 2^depth tokens never mix.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "transforms/basis_measure.h"
#include "transforms/sequence_transform.h"

namespace stamp {

// Sums over samples of the energy of every coefficient of the full tree.
class PacketEnergies {
 public:
  PacketEnergies(std::int64_t tokens, int depth);  // depth: levels, at most those that leave one row
  void add(ConstMatrixView x);                     // one sample: tokens x d; costs 2 s d depth flops
  std::int64_t tokens() const { return tokens_; }
  int depth() const { return depth_; }
  std::int64_t samples() const { return samples_; }
  // Mean energy of the rows of one level (0: the tokens themselves), by row.
  std::vector<double> level(int level) const;

 private:
  std::int64_t tokens_, samples_ = 0;
  int depth_;
  std::vector<std::vector<double>> sums_;
};

struct PacketBasis {
  std::vector<std::uint8_t> leaf;   // of every row: the level at which its node is not split further
  std::vector<std::int64_t> place;  // of every row: where it goes; most energetic first
  std::vector<double> energy;       // mean energies in the order of the places
  double cost = 0;                  // of the whole basis, in the unit of the rule that chose it
};

// The basis with the least sum of `cost(energy of a row)`.
PacketBasis best_packets(const PacketEnergies& energies, const std::function<double(double)>& cost);
// Sum of log energies: the geometric mean, which optimal bits turn into error (specification 2.6, coding gain). Rows
// far below the others (1e-12 of the largest) count as that, or an empty row would outweigh everything.
PacketBasis best_packets_by_log(const PacketEnergies& energies);
// The bound of the two-level rule: sum e_i / N_i^2, where the `high_tokens` most energetic rows have high_bits. Which
// rows are high depends on the whole basis, so every node keeps its least cost for each number of high rows.
PacketBasis best_packets_for_two_levels(const PacketEnergies& energies, std::int64_t high_tokens, double low_bits,
                                        double high_bits);

// As a request's `basis` and as the calibration cache keep it: 2 s values, leaves and places.
std::vector<float> floats_of(const PacketBasis& basis);
// TrialError ("refused") where values are no basis of that many tokens.
PacketBasis packet_basis_of(std::span<const float> values, std::int64_t tokens);

std::unique_ptr<SequenceTransform> haar_packets(const PacketBasis& basis);
// Made from a request whose `basis` is floats_of() of the slot's basis.
SequenceTransformPlugin haar_packets_plugin();
// How that basis is measured: PacketEnergies of the depth that `levels` means, and the rule that `cost` names.
BasisPlugin haar_packets_basis();

}  // namespace stamp
