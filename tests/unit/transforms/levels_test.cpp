// What `levels` comes to before a transform is made, against the transforms themselves.
#include "transforms/levels.h"

#include "support/catch.h"
#include "transforms/haar.h"

using namespace stamp;

namespace {

SequenceTransformRequest request(std::int64_t tokens, std::int64_t high, const Json& levels) {
  SequenceTransformRequest r;
  r.tokens = tokens;
  r.high_tokens = high;
  r.options = {{"levels", levels}};
  return r;
}

}  // namespace

TEST_CASE("levels: auto is that of the transform, and says when it assumes the published number of high rows") {
  for (const std::int64_t tokens : {1, 64, 127, 128, 2047})
    for (const std::int64_t high : {0, 8, 64})
      for (const char* name : {"haar", "wavelet"}) {
        CAPTURE(tokens, high, name);
        const auto r = request(tokens, high, Json());
        const auto count = level_count(name, r);
        REQUIRE(count);
        CHECK(count->assumes_rows == (high == 0));
        CHECK(make_sequence_transform(name, r)->is_identity() == !count->mixes());
        const auto named = make_sequence_transform(name, request(tokens, high, count->levels));
        CHECK(named->matrix() == make_sequence_transform(name, r)->matrix());
      }
  const auto short_text = level_count("haar", request(127, 0, "auto"));
  CHECK(short_text->levels == 0);
  CHECK(short_text->most == 7);
}

TEST_CASE("levels that are given are taken; transforms without levels have none") {
  const auto given = level_count("haar_packets", request(127, 0, 3));
  CHECK(given->levels == 3);
  CHECK_FALSE(given->assumes_rows);
  for (const char* name : {"identity", "dct", "klt", "haar_blocks", "per_slot"})
    CHECK_FALSE(level_count(name, request(127, 0, Json())));
  SequenceTransformRequest grid = request(64, 0, Json());
  grid.grid_height = grid.grid_width = 8;
  CHECK(level_count("haar2d", grid)->levels == 0);
  CHECK(level_count("haar2d", grid)->most == 3);
  grid.high_tokens = 16;
  CHECK(level_count("haar2d", grid)->levels == 1);
}
