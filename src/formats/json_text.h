// JSON as Python writes it: -Infinity, Infinity and NaN are read as null. Duplicate keys, ill-formed UTF-8 and nesting
// beyond 64 levels are refused. Linear in the text even for objects of 10^5 keys, which Json's own parser is not.
// Specification: models 1.3.
#pragma once
#include <string>
#include <string_view>

#include "base/json.h"

namespace stamp {

// DataError with `where`, line and column.
Json parse_json(std::string_view text, const std::string& where);
// "line 3, column 14" of byte `offset`, both counted from 1.
std::string place_in(std::string_view text, std::size_t offset);

}  // namespace stamp
