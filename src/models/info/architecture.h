// The architectures that can be opened, and what `inspect` and `describe` say of a checkpoint. No LibTorch.
#pragma once
#include <string>
#include <vector>

#include "base/json.h"
#include "base/plugin.h"
#include "formats/checkpoint.h"
#include "models/info/decoder_config.h"

namespace stamp {

// models/info/register.cpp: one line each.
const std::vector<DecoderFamily>& decoder_families();
// The family of a checkpoint's architecture; DataError names the architecture and what is supported.
const DecoderFamily& decoder_family(const Checkpoint& checkpoint);

// For the catalog (PluginKind::architecture).
std::vector<PluginInfo> known_architectures();

// architecture, format, path, parameters, dimensions, RoPE, bytes, tensor types with counts, slots. DataError when the
// architecture is unknown, a setting is not supported, or tensors are missing, unexpected or of another shape.
// Reads headers only.
Json describe_model(const Checkpoint& checkpoint);

}  // namespace stamp
