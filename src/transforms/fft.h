// Complex Fourier transform of any length along rows, on 16 columns at a time: element n is 32 floats, 16 real parts
// and then 16 imaginary parts, so that every butterfly is vertical. Powers of two by radix 4 and 2 in place, other
// lengths by Bluestein's convolution. Twiddles are computed in double.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace stamp {

class ColumnFft {
 public:
  explicit ColumnFft(std::int64_t n);
  ~ColumnFft();
  std::int64_t size() const { return n_; }
  std::size_t work_floats() const;                      // floats of the array both directions work in
  std::int64_t position(std::int64_t frequency) const;  // element that holds a frequency
  // z: work_floats() floats, elements 0..n-1 filled. X_k = sum_n z_n exp(-2 pi i n k / n) at position(k).
  void forward(float* z) const;
  // Frequencies at position(k) in; unnormalised sum with exp(+...) out, in natural order.
  void inverse(float* z) const;

 private:
  struct PowerOfTwo;
  struct Chirp;
  template <bool Swap>
  void convolve(float* z) const;
  std::int64_t n_;
  std::unique_ptr<PowerOfTwo> power_;  // of n, or of the convolution
  std::unique_ptr<Chirp> chirp_;       // null for powers of two
};

}  // namespace stamp
