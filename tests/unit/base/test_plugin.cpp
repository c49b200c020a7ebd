#include "base/error.h"
#include "base/option_info.h"
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

TEST_CASE("counts are numbers or shares") {
  CHECK(is_share("s/32"));
  CHECK(is_share("s/1"));
  for (const char* text : {"s/", "s/0", "s/-1", "s/1.5", "s/03", "t/3", "s 32", "32", "S/32", "s/1234567890", "s/3x"})
    CHECK_FALSE(is_share(text));
  CHECK_FALSE(is_share(32));
  CHECK(count_option({{"k", 64}}, "k", 10) == 64);
  CHECK(count_option({{"k", "s/32"}}, "k", 2048) == 64);
  CHECK(count_option({{"k", "s/32"}}, "k", 3) == 1);

  PluginInfo info;
  info.name = "sample";
  OptionInfo k;
  k.name = "rows";
  k.type = OptionInfo::Type::count;
  k.fallback = 64;
  k.min = 0;
  k.max = 100;
  info.options = {k};
  Json share = Json::object();
  share["rows"] = "s/8";
  CHECK(complete_options(info, share, "here")["rows"] == "s/8");
  for (const Json& bad : {Json("s/0"), Json(1.5), Json(101), Json(true)}) {
    Json given = Json::object();
    given["rows"] = bad;
    CHECK_THROWS_WITH(complete_options(info, given, "here"), Catch::Contains("a share of the sequence such as s/32"));
  }
}

TEST_CASE("a text with choices is a list of different names, or auto") {
  PluginInfo info;
  info.name = "sample";
  info.options = {option::names("parts", {"none", "half", "half/1", "half/2", "half/3", "all/1", "all"}, "which")};
  const auto parts = [&](Json given) { return complete_options(info, {{"parts", std::move(given)}}, "here")["parts"]; };
  CHECK(complete_options(info, Json::object(), "here")["parts"].is_null());
  CHECK(parts("auto").is_null());
  CHECK(parts({"half/2", "none"}) == Json({"half/2", "none"}));
  for (const Json& bad : {Json("half"), Json(1), Json::array(), Json::array({"half/4"}), Json::array({1}),
                          Json({"none", "half", "none"})})
    CHECK_THROWS_WITH(parts(bad), Catch::Contains("a list of different names out of: none, half, half/1 to half/3, "
                                                  "all/1, all, or auto"));
  CHECK(option::choices_text({}).empty());
  CHECK(option::choices_text({"a/1", "a/3"}) == "a/1, a/3");
  CHECK(option::choices_text({"a/2", "a/3"}) == "a/2, a/3");  // counts from one only
  CHECK(option::choices_text({"a/1", "b/2"}) == "a/1, b/2");
}
