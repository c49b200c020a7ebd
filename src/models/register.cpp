// How the architectures of models/info are opened.
#include "models/decoder/decoder_model.h"
#include "models/diffusion/diffusion_model.h"
#include "models/info/diffusion_config.h"
#include "models/network.h"

namespace stamp {

// Decoder families differ in their configuration alone (models/info/register.cpp); a model of another kind gets its
// line here.
std::unique_ptr<Model> open_model(const ModelSpec& spec) {
  std::shared_ptr<const Checkpoint> checkpoint = open_checkpoint(spec.path);
  if (is_diffusion_architecture(checkpoint->architecture())) return open_diffusion(std::move(checkpoint), spec);
  return open_decoder(std::move(checkpoint), spec);
}

}  // namespace stamp
