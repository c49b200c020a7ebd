// The words users have for kinds of plugins.
#pragma once
#include <string>
#include <vector>

#include "base/plugin.h"

namespace stamp {

struct KindName {
  const char* word;  // plural
  PluginKind kind;
};
const std::vector<KindName>& kind_names();
const KindName* find_kind(
    const std::string& word);  // singular, plural or the plugin kind's own name; null when unknown

}  // namespace stamp
