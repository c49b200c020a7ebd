#include "base/error.h"

#include "base/text.h"

namespace stamp {

std::string Place::text() const {
  if (line <= 0) return file;
  if (column <= 0) return file + ":" + std::to_string(line);
  return file + ":" + std::to_string(line) + ":" + std::to_string(column);
}

ConfigError::ConfigError(const std::vector<std::string>& faults) : ConfigError(join(faults, "\n")) {}

}  // namespace stamp
