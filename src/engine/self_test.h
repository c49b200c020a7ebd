// A second of arithmetic with known results: does this build compute what the tests computed elsewhere?
#pragma once
#include <string>
#include <vector>

namespace stamp {

struct SelfTestResult {
  std::string name;
  bool passed = false;
  std::string detail;  // measured against expected
};
std::vector<SelfTestResult> self_test();

}  // namespace stamp
