#include "models/info/layer_windows.h"

namespace stamp {

void apply_layer_types(const ConfigReader& config, std::int64_t window, DecoderConfig& out) {
  if (!config.has("layer_types")) return;
  const std::vector<std::string> types = config.texts("layer_types");
  if (types.size() != static_cast<std::size_t>(out.layers))
    config.refuse("layer_types", std::to_string(types.size()) + " entries",
                  "one a layer (" + std::to_string(out.layers) + ")");
  for (std::size_t i = 0; i < types.size(); ++i) {
    if (types[i] == "full_attention") {
      out.windows[i] = 0;
    } else if (types[i] == "sliding_attention") {
      if (window <= 0)
        config.refuse("layer_types", "\"sliding_attention\" although no window is in use", "\"full_attention\"");
      out.windows[i] = window;
    } else {
      config.refuse("layer_types", "\"" + types[i] + "\" is not supported", "full_attention, sliding_attention");
    }
  }
}

}  // namespace stamp
