// A decoder's checkpoint, opened once: networks, token windows and their description.
#pragma once
#include <memory>

#include "formats/checkpoint.h"
#include "models/network.h"

namespace stamp {

// DataError: settings that are not supported, tensors that are missing or of another shape, no tokenizer.
std::unique_ptr<Model> open_decoder(std::shared_ptr<const Checkpoint> checkpoint, const ModelSpec& spec);

}  // namespace stamp
