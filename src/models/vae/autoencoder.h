// Image autoencoders: from an image to a latent of fewer pixels and back. Float32 throughout. Specification models 13.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <string>

#include "formats/checkpoint.h"

namespace stamp {

class Autoencoder {
 public:
  virtual ~Autoencoder() = default;
  std::int64_t latent_channels() const { return latent_channels_; }
  std::int64_t scale() const { return scale_; }  // pixels of the image per latent pixel, each way: 8 or 32
  double scaling_factor() const { return scaling_factor_; }
  double shift() const { return shift_; }
  std::int64_t parameters() const { return parameters_; }  // of both halves

  // A denoiser works on latent = (code - shift) * scaling_factor; the code is the autoencoder's own.
  //
  // code: B x latent_channels x h x w float32, already divided by the scaling factor. Returns
  // B x 3 x (scale h) x (scale w), about -1 to 1 and not clamped: image = clamp(decoded / 2 + 0.5, 0, 1).
  at::Tensor decode(const at::Tensor& code);
  // The same from what a denoiser returns: decode(latent / scaling_factor + shift).
  at::Tensor decode_latent(const at::Tensor& latent);
  // image: B x 3 x H x W float32 from -1 to 1, H and W multiples of scale. Returns the code; of AutoencoderKL, which
  // has a distribution of codes, its mean. std::logic_error for another number of dimensions or channels, TrialError
  // ("refused") for an image whose sides do not divide.
  at::Tensor encode(const at::Tensor& image);
  at::Tensor encode_latent(const at::Tensor& image);  // (encode(image) - shift) * scaling_factor

  // Images are worked on one at a time, and large feature maps in bands of rows of about this many floats where what
  // comes out is the same but for rounding. Less takes less memory and more time.
  void set_band_floats(std::int64_t floats) { band_floats_ = floats; }
  // Weights come from the checkpoint when they are first used, so that decoding alone never holds the encoder.
  virtual void release() = 0;

 protected:
  // One image, 1 x ... in and out.
  virtual at::Tensor decode_one(const at::Tensor& code) = 0;
  virtual at::Tensor encode_one(const at::Tensor& image) = 0;
  std::int64_t latent_channels_ = 0, scale_ = 0, parameters_ = 0;
  double scaling_factor_ = 1, shift_ = 0;
  std::int64_t band_floats_ = std::int64_t{1} << 25;  // 128 MiB
};

// `class_name`: "AutoencoderKL" or "AutoencoderDC"; "" takes `_class_name` of the configuration. DataError for another
// class, a configuration that is not supported, and tensors that do not fit it.
std::unique_ptr<Autoencoder> open_autoencoder(std::shared_ptr<const Checkpoint> checkpoint,
                                              std::string class_name = "");
// A diffusers folder ("vae" of a pipeline) or a .safetensors file.
std::unique_ptr<Autoencoder> open_autoencoder(const std::string& path);

}  // namespace stamp
