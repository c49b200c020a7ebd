#include "fixture.h"
#include "support/catch.h"

using namespace stamp;
using namespace stamp::testing;

TEST_CASE("the field table does not depend on the plugins, the plugin tables do") {
  const Catalog none;
  CHECK(fields_markdown(Schema(none)) == fields_markdown(schema()));
  CHECK(plugins_markdown(Schema(none)).empty());
  const std::string text = plugins_markdown(schema());
  CHECK(text.find("| `smoothquant` | summary of smoothquant | somewhere | little | yes |") != std::string::npos);
  CHECK(text.find("| `quantization.smoothquant.alpha` | `0.5` | a number from 0 to 1 | help of alpha |") !=
        std::string::npos);
  CHECK(text.find("| `quantization.sequence.levels` | `auto` | an integer from 1 to 30, or auto (for haar) |") !=
        std::string::npos);
  CHECK(text.find("| `quantization.sequence.levels` | `2` | an integer from 1 to 3 (for coarse) |") !=
        std::string::npos);
}

TEST_CASE("every row has as many cells as its head") {
  for (const std::string& text : {fields_markdown(schema()), plugins_markdown(schema())}) {
    std::size_t columns = 0;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = text.find('\n', at);
      const std::string line = text.substr(at, end - at);
      at = end + 1;
      std::size_t bars = 0;
      for (std::size_t i = 0; i < line.size(); ++i) bars += line[i] == '|' && (i == 0 || line[i - 1] != '\\');
      if (bars == 0) columns = 0;
      if (bars != 0 && columns == 0) columns = bars;
      CHECK(bars == columns);
    }
  }
}

TEST_CASE("the layouts of a table are named") {
  CHECK(
      fields_markdown(schema()).find("| `table.layout` | grid or long | `grid` | grid: rows x columns as above; long: "
                                     "one row a trial, one column a metric |") != std::string::npos);
}
