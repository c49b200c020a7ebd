#include "tokenizer/settings.h"

namespace stamp {
namespace {

// A and B differ in how many numbers stay together.
std::string modern(const std::string& numbers) {
  return R"('(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])|[^\r\n\p{L}\p{N}]?\p{L}+|)" + numbers +
         R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
}

}  // namespace

std::string pattern_a() {
  return modern(R"(\p{N}{1,3})");
}
std::string pattern_b() {
  return modern(R"(\p{N})");
}
std::string pattern_c() {
  return R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
}

}  // namespace stamp
