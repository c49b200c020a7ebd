#include "models/vision/weights_file.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/files.h"

namespace stamp {

std::string weights_file(const std::string& where, const std::string& name, const std::string& what,
                         const std::string& file) {
  std::error_code code;
  const fs::path path = where;
  if (fs::is_regular_file(path, code)) return where;
  const fs::path inside = path / name;
  if (fs::is_regular_file(inside, code)) return inside.string();
  throw DataError(fmt::format("{}: no {}; wanted: {}, or a folder with {}", where, what, file, name));
}

}  // namespace stamp
