#include "results/provenance.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "base/text.h"
#include "results/revision.h"

namespace stamp {

namespace {

std::string processor_field(const std::string& name) {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    const std::size_t colon = line.find(':');
    if (colon != std::string::npos && trim(line.substr(0, colon)) == name) return trim(line.substr(colon + 1));
  }
  return "";
}

int usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
}

}  // namespace

Json code_provenance() {
  Json j = Json::object();
  const std::string revision = build_revision();
  j["revision"] = revision;
  if (revision != "unknown") j["dirty"] = build_dirty();
  j["build"] = STAMP_BUILD_TYPE;
#if defined(__clang__)
  j["compiler"] = "clang " __clang_version__;
#else
  j["compiler"] = "g++ " __VERSION__;
#endif
  return j;
}

Json hardware_provenance() {
  // The ones that decide which kernels run, here and in the GEMM libraries.
  static const std::vector<std::string> interesting{"avx2",     "fma",         "f16c",        "avx512f",  "avx512_vnni",
                                                    "avx_vnni", "avx512_bf16", "avx512_fp16", "amx_int8", "amx_bf16",
                                                    "asimd",    "sve",         "i8mm",        "bf16"};
  Json j = Json::object();
  j["cpu"] = processor_field("model name");
  std::string flags = processor_field("flags");
  if (flags.empty()) flags = processor_field("Features");  // Arm
  const std::vector<std::string> all = split(flags, ' ');
  j["features"] = Json::array();
  for (const std::string& f : interesting)
    if (std::find(all.begin(), all.end(), f) != all.end()) j["features"].push_back(f);
  j["cores"] = usable_cores();
  const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGE_SIZE);
  if (pages > 0 && page > 0) j["memory_bytes"] = static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(page);
  return j;
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

}  // namespace stamp
