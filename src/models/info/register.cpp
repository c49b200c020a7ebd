#include "base/error.h"
#include "base/text.h"
#include "models/info/architecture.h"
#include "models/info/diffusion_config.h"
#include "models/info/gemma2.h"
#include "models/info/gemma3.h"
#include "models/info/llama.h"
#include "models/info/mistral.h"
#include "models/info/qwen2.h"
#include "models/info/qwen3.h"

namespace stamp {

const std::vector<DecoderFamily>& decoder_families() {
  static const std::vector<DecoderFamily> families = {
      llama_family(), mistral_family(), qwen2_family(), qwen3_family(), gemma2_family(), gemma3_family(),
  };
  return families;
}

const DecoderFamily& decoder_family(const Checkpoint& checkpoint) {
  const std::string name = checkpoint.architecture();
  const bool gguf = checkpoint.format().rfind("GGUF", 0) == 0;
  std::vector<std::string> names;
  for (const DecoderFamily& family : decoder_families()) {
    if (gguf && !family.in_gguf) continue;
    if (family.name == name) return family;
    names.push_back(family.name);
    if (gguf) continue;
    for (const std::string& model_type : family.model_types) {
      if (model_type == name) return family;
      names.push_back(model_type);
    }
  }
  if (!gguf)
    for (const std::string& diffusion : diffusion_architectures()) names.push_back(diffusion);
  if (name.empty())
    throw DataError(checkpoint.path() +
                    ": the checkpoint does not name its architecture (model_type or _class_name in config.json, " +
                    "general.architecture in GGUF); supported: " + join(names, ", "));
  throw DataError(checkpoint.path() + ": architecture \"" + name + "\" is not supported" + did_you_mean(name, names) +
                  "; supported: " + join(names, ", "));
}

std::vector<PluginInfo> known_architectures() {
  std::vector<PluginInfo> infos;
  for (const DecoderFamily& family : decoder_families()) {
    PluginInfo info;
    info.name = family.name;
    info.summary = family.summary;
    info.source = "specification models 3";
    info.cost = "decoder language model, float32";
    infos.push_back(std::move(info));
  }
  const auto diffusion = [&](const char* name, const char* summary, const char* source) {
    PluginInfo info;
    info.name = name;
    info.summary = summary;
    info.source = source;
    info.cost = "diffusion transformer, float32";
    infos.push_back(std::move(info));
  };
  diffusion("PixArtTransformer2DModel", "PixArt-Sigma and PixArt-alpha: text in cross-attention, one modulation",
            "specification models 10");
  diffusion("DiTTransformer2DModel", "DiT: images of a class, every block with its own modulation",
            "specification models 11");
  diffusion("SanaTransformer2DModel",
            "SANA, SANA-1.5 and SANA-Sprint: linear attention, convolution in the feed-forward part",
            "specification models 12");
  return infos;
}

}  // namespace stamp
