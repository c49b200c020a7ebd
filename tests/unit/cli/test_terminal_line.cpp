// What `generate` says of the work before its first token where stderr is a file.
#include "cli/terminal_line.h"
#include "support/catch.h"
#include "support/scratch.h"

using namespace stamp;

TEST_CASE("each phase that has steps is told once where no line can be rewritten") {
  const test::Scratch folder;
  const auto path = folder.path() / "said";
  std::FILE* out = std::fopen(path.c_str(), "w");
  REQUIRE(out);
  {
    Waiting waiting(out);
    waiting.at("load", 0, 0);
    for (int i = 0; i < 16; ++i) waiting.at("calibrate", i, 16);
    waiting.at("prepare", 0, 0);
    waiting.at("prepare", 0, 1);
    waiting.at("calibrate", 0, 16);
    waiting.clear();
  }
  std::fclose(out);
  CHECK(test::slurp(path) == "stamp: calibrate, 16 steps\nstamp: prepare, 1 step\n");
}
