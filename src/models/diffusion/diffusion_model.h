// A diffusers folder of a diffusion transformer, opened once: networks and their description.
#pragma once
#include <memory>

#include "formats/checkpoint.h"
#include "models/network.h"

namespace stamp {

// DataError: settings that are not supported, tensors that are missing or of another shape. The model has images() and
// no texts to run: workload() is a TrialError ("unsupported"). Scheduler, text encoder and autoencoder are looked for
// when images are first asked for.
std::unique_ptr<Model> open_diffusion(std::shared_ptr<const Checkpoint> checkpoint, const ModelSpec& spec);

}  // namespace stamp
