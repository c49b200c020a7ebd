#include "eval/interval.h"

#include <cmath>
#include <vector>

#include "support/catch.h"

using namespace stamp;

// scipy.stats.t.ppf(0.975, df), SciPy 1.10.
TEST_CASE("quantiles of Student's t agree with SciPy") {
  CHECK(student_t_975(1) == Approx(12.706204736174694).epsilon(1e-10));
  CHECK(student_t_975(2) == Approx(4.302652729749462).epsilon(1e-10));
  CHECK(student_t_975(3) == Approx(3.1824463052837078).epsilon(1e-10));
  CHECK(student_t_975(9) == Approx(2.262157162798205).epsilon(1e-10));
  CHECK(student_t_975(30) == Approx(2.0422724563012378).epsilon(1e-10));
  CHECK(student_t_975(1000) == Approx(1.9623390808264083).epsilon(1e-10));
}

// scipy.stats.t.interval(0.95, 3, loc=mean, scale=sem).
TEST_CASE("interval of a mean agrees with SciPy") {
  const std::vector<double> values{3.0, 3.2, 2.9, 3.5};
  const auto interval = mean_interval(values);
  REQUIRE(interval);
  CHECK(interval->low == Approx(2.7290019257701483).epsilon(1e-10));
  CHECK(interval->high == Approx(3.5709980742298515).epsilon(1e-10));
}

TEST_CASE("unknown is absent") {
  CHECK_FALSE(mean_interval(std::vector<double>{}));
  CHECK_FALSE(mean_interval(std::vector<double>{1.0}));
  CHECK(std::isnan(mean_of({})));
  const auto flat = mean_interval(std::vector<double>{2.0, 2.0});
  REQUIRE(flat);
  CHECK(flat->low == 2.0);
  CHECK(flat->high == 2.0);
}
