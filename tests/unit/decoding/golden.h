// What transformers answered (scripts/reference/generate.py --write).
#pragma once
#include <fstream>

#include "base/json.h"

namespace stamp::test {

inline Json generate_golden() {
  std::ifstream file(STAMP_SOURCE_DIR "/tests/golden/generate.json");
  return Json::parse(file);
}

}  // namespace stamp::test
