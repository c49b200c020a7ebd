// What numbers of a command line may be, where CLI11's own checks let something else through: its Range passes NaN,
// since that is neither below nor above, and its unsigned integers wrap.
#pragma once
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include "base/text.h"

namespace stamp {

inline CLI::Validator real_from(double low, double high) {
  return CLI::Validator(
      [low, high](std::string& text) {
        double value = 0;
        const bool number = CLI::detail::lexical_cast(text, value);
        if (number && std::isfinite(value) && value >= low && value <= high) return std::string();
        return fmt::format("\"{}\"; a number from {} to {} is allowed", text, number_text(low), number_text(high));
      },
      fmt::format("FLOAT in [{} - {}]", number_text(low), number_text(high)));
}

inline CLI::Validator seed_number() {
  return CLI::Validator(
      [](std::string& text) {
        std::uint64_t value = 0;
        const char* const end = text.data() + text.size();
        const auto [stop, error] = std::from_chars(text.data(), end, value);
        if (error == std::errc() && stop == end) return std::string();
        return fmt::format("\"{}\"; an integer from 0 to {} is allowed", text,
                           std::numeric_limits<std::uint64_t>::max());
      },
      "UINT");
}

}  // namespace stamp
