#include <unistd.h>

#include <regex>

#include "results/provenance.h"
#include "support/catch.h"

using namespace stamp;

TEST_CASE("code provenance names revision, build and compiler") {
  const Json code = code_provenance();
  const std::string revision = code["revision"];
  CHECK((revision == "unknown" || std::regex_match(revision, std::regex("[0-9a-f]{40}"))));
  CHECK(code.contains("dirty") == (revision != "unknown"));
  CHECK_FALSE(code["compiler"].get<std::string>().empty());
  CHECK(code.contains("build"));
}

TEST_CASE("hardware provenance has the cores, and not the host's name") {
  const Json hardware = hardware_provenance();
  CHECK(hardware["cores"].get<int>() >= 1);
  CHECK(hardware["memory_bytes"].get<std::uint64_t>() > 1000000);
  CHECK(hardware["features"].is_array());
  char name[256] = {};
  if (gethostname(name, sizeof name - 1) == 0 && std::string(name).size() > 4)
    CHECK(hardware.dump().find(name) == std::string::npos);
}

TEST_CASE("times are UTC in ISO 8601") {
  CHECK(std::regex_match(utc_now(), std::regex(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)")));
}
