#include "images/sheet.h"

#include <algorithm>
#include <stdexcept>

#include "images/font.h"

namespace stamp {
namespace {

// One byte for each character: those outside ASCII have no glyph, and become one box instead of several.
std::string one_byte_each(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) out += c;
    if (byte >= 0xC0) out += '\x7F';
  }
  return out;
}

std::string fitted(std::string text, std::int64_t width, std::int64_t scale) {
  const auto most = static_cast<std::size_t>(std::max<std::int64_t>(0, (width + scale) / ((kGlyphWidth + 1) * scale)));
  if (text.size() <= most) return text;
  return most <= 2 ? text.substr(0, most) : text.substr(0, most - 2) + "..";
}

void draw(ByteImage& to, const std::string& text, std::int64_t top, std::int64_t left, std::int64_t scale) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto rows = glyph(text[i]);
    const std::int64_t begin = left + static_cast<std::int64_t>(i) * (kGlyphWidth + 1) * scale;
    for (std::int64_t y = 0; y < kGlyphHeight * scale; ++y)
      for (std::int64_t x = 0; x < kGlyphWidth * scale; ++x)
        if ((rows[static_cast<std::size_t>(y / scale)] >> (kGlyphWidth - 1 - x / scale)) & 1)
          std::fill_n(to.pixel(top + y, begin + x), 3, std::uint8_t{0});
  }
}

}  // namespace

ByteImage sheet(const std::vector<LabelledImage>& images, const SheetLayout& layout) {
  if (images.empty() || layout.columns < 0 || layout.gap < 0 || layout.scale < 1)
    throw std::logic_error("a sheet needs an image, and sizes that are not negative");
  const auto count = static_cast<std::int64_t>(images.size());
  const std::int64_t columns = layout.columns == 0 ? count : std::min(layout.columns, count);
  const std::int64_t rows = (count + columns - 1) / columns;
  std::int64_t height = 1, width = 1;
  for (const LabelledImage& one : images) {
    height = std::max(height, one.image.height);
    width = std::max(width, one.image.width);
  }
  const std::int64_t label = (kGlyphHeight + 2) * layout.scale;
  ByteImage out(layout.gap + rows * (label + height + layout.gap), layout.gap + columns * (width + layout.gap));
  std::fill(out.bytes.begin(), out.bytes.end(), std::uint8_t{255});
  for (std::int64_t i = 0; i < count; ++i) {
    const LabelledImage& one = images[static_cast<std::size_t>(i)];
    const std::int64_t top = layout.gap + i / columns * (label + height + layout.gap);
    const std::int64_t left = layout.gap + i % columns * (width + layout.gap);
    draw(out, fitted(one_byte_each(one.label), width, layout.scale), top, left, layout.scale);
    for (std::int64_t y = 0; y < one.image.height; ++y)
      std::copy_n(one.image.pixel(y, 0), 3 * one.image.width, out.pixel(top + label + y, left));
  }
  return out;
}

}  // namespace stamp
