// What an error says, for checks that show the whole message when they fail.
#pragma once
#include <string>

#include "base/error.h"

namespace stamp::test {

// The message of the DataError that `action` throws.
template <typename F>
std::string data_error(F&& action) {
  try {
    action();
  } catch (const DataError& error) {
    return error.what();
  }
  return "(no DataError)";
}

// "" when `message` holds `part`, else the message: CHECK(lacks(message, "truncated") == "").
inline std::string lacks(const std::string& message, const std::string& part) {
  return message.find(part) != std::string::npos ? std::string() : message;
}

}  // namespace stamp::test
