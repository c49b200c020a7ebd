// Inside config/: an experiment file with its `extends` pieces and `--set` overrides as one tree.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "config/yaml.h"

namespace stamp {

// Pieces in order, then the file itself, then the overrides; maps merge key by key, anything else is replaced. Every
// node keeps the place it came from. `extends` is gone from the result. Cycles and unreadable pieces are faults.
YamlNode compose(const fs::path& path, const std::vector<std::string>& overrides, std::vector<std::string>& faults);
// The same for a text that would stand at `path`.
YamlNode compose_text(std::string_view text, const fs::path& path, const std::vector<std::string>& overrides,
                      std::vector<std::string>& faults);
// `over` wins.
YamlNode merge(YamlNode base, YamlNode over);

// Keys below here are dotted field paths, not sections: "sweep.axes".
inline constexpr const char* axes_section = "sweep.axes";

}  // namespace stamp
