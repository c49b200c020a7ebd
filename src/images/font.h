// A small raster font: capital letters, digits and the punctuation of labels, five pixels wide and seven high.
#pragma once
#include <array>
#include <cstdint>

namespace stamp {

inline constexpr std::int64_t kGlyphWidth = 5, kGlyphHeight = 7;
// Rows from the top, the leftmost pixel in bit 4. Small letters look like capitals; what the font does not have is a
// box.
std::array<std::uint8_t, kGlyphHeight> glyph(char character);

}  // namespace stamp
