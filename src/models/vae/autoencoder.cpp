#include "models/vae/autoencoder.h"

#include <ATen/ops/empty.h>

#include <stdexcept>

#include "base/error.h"
#include "base/text.h"
#include "models/vae/autoencoder_dc.h"
#include "models/vae/autoencoder_kl.h"

namespace stamp {
namespace {

void check_maps(const at::Tensor& x, std::int64_t channels, const char* what) {
  if (x.dim() != 4 || x.size(1) != channels || x.scalar_type() != at::kFloat || x.numel() == 0)
    throw std::logic_error(std::string(what) + " has to be float32, images x " + std::to_string(channels) +
                           " x height x width");
}

}  // namespace

at::Tensor Autoencoder::decode(const at::Tensor& code) {
  check_maps(code, latent_channels_, "a code to decode");
  at::Tensor out = at::empty({code.size(0), 3, code.size(2) * scale_, code.size(3) * scale_}, code.options());
  for (std::int64_t b = 0; b < code.size(0); ++b)
    out.narrow(0, b, 1).copy_(decode_one(code.narrow(0, b, 1).contiguous()));
  return out;
}

at::Tensor Autoencoder::decode_latent(const at::Tensor& latent) {
  return decode(latent.div(scaling_factor_).add_(shift_));
}

at::Tensor Autoencoder::encode(const at::Tensor& image) {
  check_maps(image, 3, "an image to encode");
  if (image.size(2) % scale_ != 0 || image.size(3) % scale_ != 0)
    throw TrialError("refused", "an image of " + std::to_string(image.size(2)) + " x " + std::to_string(image.size(3)) +
                                    " pixels; the autoencoder takes multiples of " + std::to_string(scale_));
  at::Tensor out =
      at::empty({image.size(0), latent_channels_, image.size(2) / scale_, image.size(3) / scale_}, image.options());
  for (std::int64_t b = 0; b < image.size(0); ++b)
    out.narrow(0, b, 1).copy_(encode_one(image.narrow(0, b, 1).contiguous()));
  return out;
}

at::Tensor Autoencoder::encode_latent(const at::Tensor& image) {
  return encode(image).sub_(shift_).mul_(scaling_factor_);
}

std::unique_ptr<Autoencoder> open_autoencoder(std::shared_ptr<const Checkpoint> checkpoint, std::string class_name) {
  if (class_name.empty())
    if (const auto it = checkpoint->config().find("_class_name"); it != checkpoint->config().end() && it->is_string())
      class_name = it->get<std::string>();
  if (class_name == "AutoencoderKL") return std::make_unique<AutoencoderKl>(std::move(checkpoint));
  if (class_name == "AutoencoderDC") return std::make_unique<AutoencoderDc>(std::move(checkpoint));
  const std::string given = class_name.empty() ? "missing" : "\"" + class_name + "\"";
  throw DataError(checkpoint->path() + ": _class_name: " + given +
                  did_you_mean(class_name, {"AutoencoderKL", "AutoencoderDC"}) +
                  "; allowed: AutoencoderKL, AutoencoderDC");
}

std::unique_ptr<Autoencoder> open_autoencoder(const std::string& path) {
  return open_autoencoder(std::shared_ptr<const Checkpoint>(open_checkpoint(path)));
}

}  // namespace stamp
