// How near one image is to another. Specification: methods 1.6, 13.4.
#pragma once
#include <cstdint>
#include <span>

#include "images/image.h"

namespace stamp {

// 10 log10(sum r^2 / sum (r - x)^2) in dB, of two lists of equal length: latents, or images in [0, 1] or [-1, 1].
// Infinite where they are equal, minus infinite where only r is zero everywhere, NaN with a NaN in either.
double signal_to_noise_db(std::span<const float> reference, std::span<const float> other);

// Both take images in [0, 1] of the same size; std::logic_error otherwise.
// 10 log10(1 / mean squared difference) in dB; infinite where they are equal.
double psnr_db(const Image& reference, const Image& other);
// Structural similarity, at most 1: Gaussian windows of 11 x 11 (sigma 1.5) that lie wholly inside, constants 0.01^2
// and 0.03^2, averaged over places and channels. std::logic_error: a side below 11.
double ssim(const Image& reference, const Image& other);

}  // namespace stamp
