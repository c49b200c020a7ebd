// The JSON value used in records, plans and plugin options; key order is kept.
#pragma once
#include <nlohmann/json.hpp>

namespace stamp {
using Json = nlohmann::ordered_json;
}
