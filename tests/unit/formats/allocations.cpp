#include "allocations.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {
std::atomic<std::size_t> largest{0};
}

namespace stamp::test {
void reset_largest_allocation() {
  largest = 0;
}
std::size_t largest_allocation() {
  return largest;
}
}  // namespace stamp::test

// The array and nothrow forms of the standard library call this one.
void* operator new(std::size_t size) {
  std::size_t seen = largest;
  while (size > seen && !largest.compare_exchange_weak(seen, size)) {
  }
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
