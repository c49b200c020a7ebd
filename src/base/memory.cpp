#include "base/memory.h"

#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>

namespace stamp {

namespace {

// The number behind `key` of a file of lines "key: number unit"; with an empty key, of a file that is one number.
std::uint64_t number_in(const std::string& path, const std::string& key) {
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    if (line.rfind(key, 0) != 0) continue;
    std::istringstream rest(line.substr(key.size()));
    std::uint64_t n = 0;
    if (rest >> n) return n;  // "max" is none
  }
  return 0;
}

// Of the process's own group; inside a container it is the root of what is visible.
std::uint64_t left_in_group() {
  std::uint64_t least = std::numeric_limits<std::uint64_t>::max();
  const std::pair<const char*, const char*> places[] = {
      {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"},
      {"/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"}};
  const std::pair<const char*, const char*> reclaimable[] = {{"/sys/fs/cgroup/memory.stat", "file "},
                                                             {"/sys/fs/cgroup/memory/memory.stat", "total_cache "}};
  for (std::size_t i = 0; i < 2; ++i) {
    const std::uint64_t limit = number_in(places[i].first, "");
    if (limit == 0) continue;
    const std::uint64_t used = number_in(places[i].second, "");
    const std::uint64_t cached = std::min(used, number_in(reclaimable[i].first, reclaimable[i].second));
    least = std::min(least, limit - std::min(limit, used - cached));
  }
  return least;
}

}  // namespace

std::uint64_t available_memory_bytes() {
  const std::uint64_t kib = number_in("/proc/meminfo", "MemAvailable:");
  if (kib == 0) return 0;
  return std::min(kib * 1024, left_in_group());
}

void give_back_free_memory() {
#ifdef __GLIBC__
  ::malloc_trim(0);
#endif
}

void drop_mapped(const void* from, std::uint64_t bytes) {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(from);
  const std::uintptr_t first = (begin + page - 1) / page * page, last = (begin + bytes) / page * page;
  if (last > first) ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

}  // namespace stamp
