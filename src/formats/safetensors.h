// safetensors files and Hugging Face folders. Specification: models 1.1, 1.2; source: huggingface/safetensors,
// tensor.rs.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "formats/checkpoint.h"

namespace stamp {

struct SafetensorsFile {
  std::map<std::string, std::string> metadata;  // __metadata__
  std::vector<TensorInfo> tensors;              // by offset; data points into the mapping
};
// Refuses what the reference reader refuses: tensors must tile the buffer exactly. DataError.
SafetensorsFile parse_safetensors(const std::byte* data, std::uint64_t size, const std::string& where);

// One file. Its configuration is the JSON text under __metadata__.config when there is one, else the config.json beside
// it.
std::unique_ptr<Checkpoint> open_safetensors(const std::string& path);
// A folder with config.json and weights, one file or shards with an index; or that of a diffusers pipeline, whose
// transformer/ is then opened.
std::unique_ptr<Checkpoint> open_folder(const std::string& path);

}  // namespace stamp
