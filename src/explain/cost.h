// Operations (additions and multiplications alike) of transforms, counted from how they are computed.
// Specification methods 2.10, 6.2, 8.1.
#pragma once
#include <cstdint>
#include <string>

#include "base/json.h"

namespace stamp {

// L or L^-1 on one column of `tokens` rows behind the skipped ones.
//   haar    two operations a row of every level (one for a pair of sum and difference each, one for the factor)
//   haar_packets  at most as much for every level as haar's first, however its basis splits: 2 s J
//   haar2d  three a row of every level: of four rows eight additions and four multiplications
//   dct     2.5 s log2 s by a Fourier transform; where s is no power of two, Bluestein's convolution of the next power
//           of two M >= 2 s - 1 costs two complex transforms of M for two columns: 5 M log2 M
//   dct2d   the DCT of every line and of every column of the grid
//   wht     s log2 s additions and s multiplications
//   klt     2 s^2
// 0 for identity; a negative number for a transform that is not known here.
double left_operations(const std::string& transform, std::int64_t tokens, std::int64_t levels, std::int64_t height,
                       std::int64_t width);

// x -> x R on one row of n features: K - 1 + log2(n / K) additions and one multiplication a value where a Hadamard
// matrix of size n = K 2^p exists, else the dense product, 2 n^2.
double rotation_operations(std::int64_t n, bool hadamard);
std::string rotation_name(std::int64_t n, bool hadamard);  // "Hadamard 36 x 16", "random orthogonal 9 x 9"
// Learned Kronecker product of n = n1 n2: 2 n (n1 + n2).
double kronecker_operations(std::int64_t n);
std::string kronecker_name(std::int64_t n);  // "learned 24 x 24"

}  // namespace stamp
