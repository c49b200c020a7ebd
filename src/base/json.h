// The JSON value used in records, plans and plugin options; key order is kept.
#pragma once
#include <nlohmann/json.hpp>
#include <string>

namespace stamp {

using Json = nlohmann::ordered_json;

// What is wrong, without the library's "[json.exception.parse_error.101] ".
inline std::string json_fault(const Json::exception& error) {
  const std::string text = error.what();
  const std::size_t end = text.starts_with("[json.exception") ? text.find("] ") : std::string::npos;
  return end == std::string::npos ? text : text.substr(end + 2);
}

}  // namespace stamp
