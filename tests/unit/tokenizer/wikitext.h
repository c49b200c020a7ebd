// The corpus that tokenizers are held to.
#pragma once
#include <optional>

#include "base/error.h"
#include "data/text.h"
#include "support/catch.h"

namespace stamp::test {

// Nothing, with a message, when the text is absent.
inline std::optional<Text> wikitext_or_skip() {
  try {
    return load_text("wikitext2-test", "");
  } catch (const DataError& error) {
    WARN("skipped: " << error.what());
    return std::nullopt;
  }
}

}  // namespace stamp::test
