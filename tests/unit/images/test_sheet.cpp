// Sheets of labelled images.
#include "images/sheet.h"

#include <algorithm>

#include "images/font.h"
#include "pattern.h"
#include "support/catch.h"

using namespace stamp;
using namespace stamp::test;

namespace {

// The label of one cell, as text: '#' where black.
std::string drawn(const ByteImage& image, std::int64_t top, std::int64_t left, std::int64_t height,
                  std::int64_t width) {
  std::string out;
  for (std::int64_t y = top; y < top + height; ++y) {
    for (std::int64_t x = left; x < left + width; ++x) out += image.pixel(y, x)[0] == 0 ? '#' : '.';
    out += '\n';
  }
  return out;
}

}  // namespace

TEST_CASE("every image lies below its label, in its own cell", "[images]") {
  const ByteImage a = pattern(20, 30, 1), b = pattern(20, 24, 2), c = pattern(10, 30, 3);
  const SheetLayout layout{2, 4, 1};
  const ByteImage all = sheet({{"L", a}, {"b", b}, {"", c}}, layout);
  CHECK(all.width == 4 + 2 * (30 + 4));
  CHECK(all.height == 4 + 2 * (9 + 20 + 4));
  CHECK(std::equal(a.pixel(3, 0), a.pixel(3, 0) + 90, all.pixel(4 + 9 + 3, 4)));
  CHECK(std::equal(b.pixel(0, 0), b.pixel(0, 0) + 72, all.pixel(4 + 9, 4 + 34)));
  CHECK(std::equal(c.pixel(9, 0), c.pixel(9, 0) + 90, all.pixel(4 + 33 + 9 + 9, 4)));
  CHECK(drawn(all, 4, 4, 7, 5) == "#....\n#....\n#....\n#....\n#....\n#....\n#####\n");
  CHECK(static_cast<int>(all.pixel(all.height - 1, all.width - 1)[0]) == 255);
}

TEST_CASE("labels that do not fit are cut, and other characters are one box each", "[images]") {
  const SheetLayout layout{0, 0, 1};
  const ByteImage cut = sheet({{"I.III", pattern(8, 24, 1)}}, layout),
                  whole = sheet({{"I...", pattern(8, 24, 1)}}, layout);
  CHECK(cut.bytes == whole.bytes);  // four characters: two and two dots
  const ByteImage other = sheet({{"é漢", pattern(8, 24, 1)}}, layout),
                  boxes = sheet({{"\x7f\x7f", pattern(8, 24, 1)}}, layout);
  CHECK(other.bytes == boxes.bytes);
  CHECK(glyph('a') == glyph('A'));
  CHECK(glyph('7') != glyph('\x01'));
  CHECK_THROWS_AS(sheet({}), std::logic_error);
}
