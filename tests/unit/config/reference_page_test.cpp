// The committed reference page against the program's own plugins.
#include "base/files.h"
#include "cli/catalog.h"
#include "config/schema.h"
#include "support/catch.h"

using namespace stamp;

namespace {

std::string block(const std::string& page, const std::string& name) {
  const std::string from = "<!-- " + name + ": begin, written by `stamp describe --markdown` -->\n";
  const std::size_t begin = page.find(from), end = page.find("<!-- " + name + ": end -->");
  REQUIRE(begin != std::string::npos);
  REQUIRE(end != std::string::npos);
  return page.substr(begin + from.size(), end - begin - from.size());
}

}  // namespace

TEST_CASE("docs/experiment-file.md shows the settings and plugins as they are") {
  const std::string page = read_file(STAMP_SOURCE_DIR "/docs/experiment-file.md");
  const Catalog catalog = make_catalog();
  const Schema schema(catalog);
  // To mend a difference: run `stamp describe --markdown` and paste its two parts between the marks.
  CHECK(block(page, "fields") == fields_markdown(schema));
  CHECK(block(page, "plugins") == plugins_markdown(schema));
}

TEST_CASE("every plugin option of the program has one line of help and a default that it allows") {
  const Catalog catalog = make_catalog();
  const Schema schema(catalog);
  for (const Field& field : schema.fields()) {
    INFO(field.path << " of " << field.owner);
    CHECK_FALSE(field.help.empty());
    CHECK(field.help.find('\n') == std::string::npos);
    if (field.path != "model.path") CHECK(check_value(field, field.fallback) == "");
  }
}
