// Written at build time by revision.cmake.
#pragma once
#include <string>

namespace stamp {
std::string build_revision();  // "unknown" outside a git checkout
bool build_dirty();            // sources or build files differed from that revision
}  // namespace stamp
