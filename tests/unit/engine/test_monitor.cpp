#include <stdexcept>
#include <thread>

#include "engine/monitor.h"
#include "support/catch.h"

using namespace stamp;

TEST_CASE("time goes to the innermost phase") {
  const auto log = null_log();
  Progress progress;
  Monitor monitor(*log, progress);
  const auto wait = [] { std::this_thread::sleep_for(std::chrono::milliseconds(20)); };
  {
    const auto outer = monitor.phase("outer");
    wait();
    {
      const auto inner = monitor.phase("inner");
      wait();
      wait();
    }
    wait();
  }
  wait();
  CHECK(monitor.timing_s().at("outer") >= 0.039);
  CHECK(monitor.timing_s().at("inner") >= 0.039);
  CHECK(monitor.timing_s().size() == 2);
  CHECK(monitor.failed_phase().empty());
}

TEST_CASE("the innermost phase that failed is remembered") {
  const auto log = null_log();
  Progress progress;
  Monitor monitor(*log, progress);
  try {
    const auto outer = monitor.phase("outer");
    { const auto fine = monitor.phase("fine"); }
    const auto inner = monitor.phase("inner");
    throw std::runtime_error("x");
  } catch (const std::runtime_error&) {
  }
  CHECK(monitor.failed_phase() == "inner");
}

TEST_CASE("a warning is kept once") {
  const auto log = null_log();
  Progress progress;
  Monitor monitor(*log, progress);
  monitor.warn("a");
  monitor.warn("b");
  monitor.warn("a");
  CHECK(monitor.warnings() == std::vector<std::string>{"a", "b"});
}
