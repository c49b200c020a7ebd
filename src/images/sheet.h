// Several images side by side in one, each with a label above it.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "images/image.h"

namespace stamp {

struct LabelledImage {
  std::string label;  // UTF-8, in one line; cut to the width of the sheet's columns, with ".." for what is missing
  ByteImage image;
};
struct SheetLayout {
  std::int64_t columns = 0;  // 0: all in one row
  std::int64_t gap = 8;      // white pixels around and between
  std::int64_t scale = 2;    // pixels to one of the font's
};
// Row by row; every cell has the size of the largest image, which lies in its upper left corner. std::logic_error: no
// image, negative numbers.
ByteImage sheet(const std::vector<LabelledImage>& images, const SheetLayout& layout = {});

}  // namespace stamp
