// Orthonormal wavelet filters: Daubechies' extremal phase (db) and least asymmetric (sym) families. I. Daubechies,
// Ten Lectures on Wavelets, 1992, sections 6.4 and 8.1.
#pragma once
#include <span>
#include <string>
#include <vector>

namespace stamp {

struct WaveletFilter {
  std::string name;         // "db2": 2 vanishing moments, 4 taps
  int moments;              // p
  std::vector<double> low;  // 2p taps h; the detail filter is g[t] = (-1)^t h[2p - 1 - t]
  std::vector<double> high() const;
};
std::span<const WaveletFilter> wavelet_filters();
const WaveletFilter& wavelet_filter(const std::string& name);  // TrialError ("refused") for an unknown one

}  // namespace stamp
