// One level of an orthonormal wavelet on a finite number of rows, as a sparse orthonormal matrix: what happens at the
// ends is decided here.
//
// Row i of either band reads the rows 2i - p + 1 .. 2i + p of the level (2p taps, centred on rows 2i and 2i + 1).
// * Periodic: rows are taken modulo n. Orthonormal for every even n, but the last rows meet the first ones: tokens at
//   the two ends of a text are mixed, and the jump between them is in the details.
// * Edge: inside, the same rows; what they leave of the space at each end is spanned by few filters of that end's own.
//   The space of those filters is split by what a smooth sequence needs: polynomials of degree below p go into the
//   approximation, the orthogonal rest are details. So details vanish for them up to the last token, as the details of
//   the infinite line do (the idea of A. Cohen, I. Daubechies and P. Vial, Wavelets on the interval, 1993; here the
//   filters come from Gram-Schmidt on the rows that there are, level by level, so any length is fine).
#pragma once
#include <cstdint>
#include <vector>

#include "transforms/wavelet_filters.h"

namespace stamp {

struct WaveletRow {
  std::vector<std::int64_t> columns;
  std::vector<double> weights;
};

// Rows of the orthonormal matrix of one level: low ones first (ceil(n / 2)), then the details.
struct WaveletLevel {
  std::int64_t rows = 0, low = 0;
  std::vector<WaveletRow> matrix;
};

// Every level of a sequence of `tokens` rows; std::logic_error where they are too many. Odd lengths: periodic carries
// the last row into the approximation (specification methods 2.5), edge has one more filter at the end.
std::vector<WaveletLevel> periodic_levels(const WaveletFilter& filter, std::int64_t tokens, int levels);
std::vector<WaveletLevel> edge_levels(const WaveletFilter& filter, std::int64_t tokens, int levels);
// The filters of both ends must not overlap: 6 p rows a level. Periodic levels go on until one row is left.
int most_edge_levels(const WaveletFilter& filter, std::int64_t tokens);

}  // namespace stamp
