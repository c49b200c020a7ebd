// Inside config/: builds the field list. Everybody else asks Schema.
#pragma once
#include <vector>

#include "config/schema.h"

namespace stamp {

std::vector<Field> build_fields(const Catalog& catalog);
// Sections whose options belong to the plugin chosen there: "quantization.sequence", "quantization.<method>", ...
std::vector<std::string> plugin_sections(const Catalog& catalog);

}  // namespace stamp
