// Expectations against what was measured.
#pragma once
#include <string>
#include <vector>

#include "report/reference.h"
#include "report/source.h"

namespace stamp {

struct Verdict {
  enum class State { holds, misses, untested };
  State state = State::untested;
  const Expectation* expectation = nullptr;
  double value = 0;   // of the trial furthest from the expectation
  double off = 0;     // relative or absolute, as the tolerance
  std::string trial;  // its id
  std::size_t trials = 0;
  std::string reason;  // why untested: no such trial, failed, not run, no such metric
};

// One verdict an expectation. Several matching trials all have to hold. `expectations` must outlive the result. A
// value that is not a number misses.
std::vector<Verdict> check(const ReportSource& source, const std::vector<Expectation>& expectations);
std::string verdicts_text(const std::vector<Verdict>& verdicts);
bool any_miss(const std::vector<Verdict>& verdicts);

}  // namespace stamp
