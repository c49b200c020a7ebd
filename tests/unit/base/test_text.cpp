#include <limits>

#include "base/error.h"
#include "base/text.h"
#include "support/catch.h"

using namespace stamp;

TEST_CASE("nearest finds slips and leaves strangers alone", "[text]") {
  const std::vector<std::string> names{"quantizer", "method", "haar", "dct", "wht"};
  CHECK(nearest("quantiser", names) == "quantizer");
  CHECK(nearest("metohd", names) == "method");
  CHECK(nearest("harr", names) == "haar");
  CHECK(nearest("zzzzzzzz", names).empty());
  CHECK(nearest("", names).empty());
  CHECK(did_you_mean("harr", names) == " (did you mean \"haar\"?)");
}

TEST_CASE("number_text is the shortest text that reads back", "[text]") {
  CHECK(number_text(4) == "4");
  CHECK(number_text(0.1) == "0.1");
  CHECK(number_text(-0.0) == "0");
  CHECK(number_text(1e-3) == "0.001");
  CHECK(number_text(24.1454) == "24.1454");
  CHECK(number_text(std::numeric_limits<double>::infinity()) == "inf");
  CHECK(number_text(std::numeric_limits<double>::quiet_NaN()) == "nan");
}

TEST_CASE("sizes and durations read as people say them", "[text]") {
  CHECK(bytes_text(999) == "999 B");
  CHECK(bytes_text(1400000000) == "1.4 GB");
  CHECK(duration_text(4.24) == "4.2 s");
  CHECK(duration_text(540) == "9 min");
  CHECK(duration_text(3900) == "1 h 05 min");
}

TEST_CASE("split, join and trim", "[text]") {
  CHECK(split("a,b,,c", ',') == std::vector<std::string>{"a", "b", "", "c"});
  CHECK(split("", ',') == std::vector<std::string>{""});
  CHECK(join({"a", "b"}, ", ") == "a, b");
  CHECK(trim("  x y\n") == "x y");
  CHECK(trim(" \t").empty());
}

TEST_CASE("a place leaves out what is not known", "[error]") {
  CHECK(Place{"a.yaml", 14, 5}.text() == "a.yaml:14:5");
  CHECK(Place{"--set", 0, 0}.text() == "--set");
  CHECK(ConfigError(std::vector<std::string>{"one", "two"}).what() == std::string("one\ntwo"));
}
