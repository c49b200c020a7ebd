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

void read_upper_windows(const ConfigReader& config, DecoderConfig& out) {
  const std::int64_t window = config.integer("sliding_window", 4096);
  const std::int64_t first = config.integer("max_window_layers", 28, 0);
  const bool used = config.flag("use_sliding_window", false) && !config.is_null("sliding_window");
  if (used)
    for (std::int64_t i = first; i < out.layers; ++i) out.windows[static_cast<std::size_t>(i)] = window;
  apply_layer_types(config, used ? window : 0, out);
}

void slide_all_but_every(std::int64_t period, std::int64_t window, DecoderConfig& out) {
  for (std::int64_t i = 0; i < out.layers; ++i)
    out.windows[static_cast<std::size_t>(i)] = (i + 1) % period == 0 ? 0 : window;
}

}  // namespace stamp
