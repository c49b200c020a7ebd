#include "base/parallel.h"

#include <malloc.h>
#include <omp.h>
#include <sched.h>

#include <charconv>
#include <cstdlib>

#include "base/error.h"
#include "base/text.h"

namespace stamp {

namespace {

int usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

int number_in(const std::string& text, const std::string& variable) {
  const std::string first = trim(variable == "OMP_NUM_THREADS" ? text.substr(0, text.find(',')) : text);
  int n = 0;
  const auto [end, error] = std::from_chars(first.data(), first.data() + first.size(), n);
  if (error != std::errc() || end != first.data() + first.size() || n < 1 || n > most_threads)
    throw ConfigError(std::string(variable).append(" is \"").append(text).append("\"; an integer from 1 to ") +
                      std::to_string(most_threads) + " is allowed");
  return n;
}

}  // namespace

int threads() {
  return omp_get_max_threads();
}

void set_threads(int n) {
  omp_set_num_threads(n < 1 ? 1 : n);
}

ThreadChoice chosen_threads() {
  for (const char* variable : {"STAMP_THREADS", "OMP_NUM_THREADS"})
    if (const char* text = std::getenv(variable); text != nullptr && !trim(text).empty())
      return {number_in(text, variable), variable};
  return {usable_cores(), ""};
}

void tune_allocator() {
  // The limits of glibc (DEFAULT_MMAP_THRESHOLD_MAX and half of it would still map a 32 MB buffer anew each time).
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
}

}  // namespace stamp
