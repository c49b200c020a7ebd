#include "base/error.h"
#include "base/plugin.h"
#include "support/catch.h"

using namespace stamp;

namespace {

PluginInfo plugin() {
  OptionInfo alpha;
  alpha.name = "alpha";
  alpha.fallback = 0.5;
  alpha.min = 0;
  alpha.max = 1;
  OptionInfo levels;
  levels.name = "levels";
  levels.type = OptionInfo::Type::integer;
  levels.min = 1;
  OptionInfo pick;
  pick.name = "pick";
  pick.type = OptionInfo::Type::choice;
  pick.fallback = "first";
  pick.choices = {"first", "energy"};
  PluginInfo info;
  info.name = "sample";
  info.options = {alpha, levels, pick};
  return info;
}

std::string fault(const Json& given) {
  try {
    complete_options(plugin(), given, "here");
  } catch (const ConfigError& e) {
    return e.what();
  }
  return {};
}

}  // namespace

TEST_CASE("options are completed with their defaults; null means auto", "[plugin]") {
  const Json complete = complete_options(plugin(), Json{{"alpha", 0.25}}, "here");
  CHECK(real_option(complete, "alpha") == 0.25);
  CHECK(complete["levels"].is_null());
  CHECK(text_option(complete, "pick") == "first");
  CHECK(complete_options(plugin(), Json{{"levels", "auto"}}, "here")["levels"].is_null());
  CHECK(integer_option(complete_options(plugin(), Json{{"levels", 3}}, "here"), "levels") == 3);
}

TEST_CASE("wrong options are named with what is allowed, all at once", "[plugin]") {
  CHECK(fault(Json{{"alhpa", 1}}).find("did you mean \"alpha\"") != std::string::npos);
  CHECK(fault(Json{{"alpha", 1.5}}).find("from 0 to 1") != std::string::npos);
  CHECK(fault(Json{{"alpha", "0.5"}}).find("a number") != std::string::npos);
  CHECK(fault(Json{{"levels", 2.5}}).find("an integer") != std::string::npos);
  CHECK(fault(Json{{"levels", 0}}).find("at least 1") != std::string::npos);
  CHECK(fault(Json{{"pick", "last"}}).find("first, energy") != std::string::npos);
  CHECK(fault(Json{{"pick", "last"}, {"alpha", 2}}).find('\n') != std::string::npos);
}

TEST_CASE("a catalog keeps the order of registration and refuses a second plugin of one name", "[plugin]") {
  Catalog catalog;
  catalog.add(PluginKind::method, plugin());
  CHECK_THROWS_AS(catalog.add(PluginKind::method, plugin()), std::logic_error);
  CHECK(catalog.find(PluginKind::method, "sample") != nullptr);
  CHECK(catalog.find(PluginKind::metric, "sample") == nullptr);
  CHECK(catalog.names(PluginKind::method) == std::vector<std::string>{"sample"});
}
