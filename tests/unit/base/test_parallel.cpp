// Which number of threads holds where nobody gives one on a command line.
#include <sched.h>

#include <cstdlib>
#include <optional>

#include "base/error.h"
#include "base/parallel.h"
#include "support/catch.h"

using namespace stamp;

namespace {

// A variable of the environment for the length of a test.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    set(value);
  }
  ~Variable() { set(before_ ? before_->c_str() : nullptr); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;
  void set(const char* value) const {
    if (value)
      setenv(name_, value, 1);
    else
      unsetenv(name_);
  }

 private:
  const char* name_;
  std::optional<std::string> before_;
};

}  // namespace

TEST_CASE("STAMP_THREADS wins over OMP_NUM_THREADS, and that over the cores", "[parallel]") {
  const Variable own("STAMP_THREADS", nullptr), openmp("OMP_NUM_THREADS", nullptr);
  cpu_set_t set;
  REQUIRE(sched_getaffinity(0, sizeof set, &set) == 0);
  CHECK(chosen_threads().number == CPU_COUNT(&set));
  CHECK(chosen_threads().variable.empty());
  openmp.set("5");
  CHECK(default_threads() == 5);
  CHECK(chosen_threads().variable == "OMP_NUM_THREADS");
  openmp.set("3,2");  // of nested regions
  CHECK(default_threads() == 3);
  own.set("7");
  CHECK(default_threads() == 7);
  CHECK(chosen_threads().variable == "STAMP_THREADS");
  own.set("");
  CHECK(default_threads() == 3);
}

TEST_CASE("a number of threads that is none is refused with what is allowed", "[parallel]") {
  const Variable own("STAMP_THREADS", nullptr), openmp("OMP_NUM_THREADS", nullptr);
  for (const char* wrong : {"abc", "0", "-1", "2.5", "4097", "1,2", "2 x"}) {
    own.set(wrong);
    CHECK_THROWS_WITH(
        chosen_threads(),
        std::string("STAMP_THREADS is \"").append(wrong).append("\"; an integer from 1 to 4096 is allowed"));
  }
  own.set(nullptr);
  openmp.set("many");
  CHECK_THROWS_AS(chosen_threads(), ConfigError);
}
