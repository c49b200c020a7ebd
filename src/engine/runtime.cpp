#include "engine/runtime.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <torch/headeronly/version.h>

#include <fstream>
#include <sstream>

#include "base/parallel.h"

namespace stamp {

namespace {

// "Intel(R) oneAPI Math Kernel Library Version 2024.2-Product ..." in several lines: the first says it.
std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

}  // namespace

void configure_runtime(int threads) {
  tune_allocator();
  set_threads(threads);
  at::set_num_threads(threads);
  // A result must not depend on whether this machine has bfloat16 or TF32 units.
  at::globalContext().setFloat32MatmulPrecision("highest");
}

Json library_provenance() {
  Json j = Json::object();
  j["libtorch"] = TORCH_VERSION;
  if (at::hasMKL()) j["mkl"] = first_line(at::get_mkl_version());
  if (at::hasMKLDNN()) j["onednn"] = first_line(at::get_mkldnn_version());
  j["cpu_capability"] = at::get_cpu_capability();
  return j;
}

std::string arithmetic_name() {
  return std::string("libtorch " TORCH_VERSION " ") + at::get_cpu_capability();
}

namespace {

std::uint64_t status_bytes(const std::string& key) {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);) {
    if (line.rfind(key, 0) != 0) continue;
    std::istringstream fields(line.substr(key.size()));
    std::uint64_t kib = 0;
    fields >> kib;
    return kib * 1024;
  }
  return 0;
}

}  // namespace

std::uint64_t resident_memory_bytes() {
  return status_bytes("VmRSS:");
}

std::uint64_t peak_memory_bytes() {
  return status_bytes("VmHWM:");
}

void reset_peak_memory() {
  std::ofstream out("/proc/self/clear_refs");
  out << "5";  // resets VmHWM to the present size (proc(5)); silently not possible in some containers
}

}  // namespace stamp
