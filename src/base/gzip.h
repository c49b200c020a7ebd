// Packed files, through zlib: committed results are stored so (scripts/publish.py).
#pragma once
#include "base/files.h"

namespace stamp {

// The unpacked text of a .gz file. DataError: missing, no gzip file, damaged, cut short, or larger than `limit` bytes
// unpacked.
std::string read_gzip(const fs::path& path, std::uint64_t limit = std::uint64_t{1} << 30);

}  // namespace stamp
