// PNG files, through libpng.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>

#include "images/image.h"

namespace stamp {

// Eight bits a channel, no alpha; the same image always gives the same bytes on one machine. std::logic_error: no
// pixels.
std::string encode_png(const ByteImage& image);
void write_png(const std::filesystem::path& path, const ByteImage& image);  // StoreError
void write_png(const std::filesystem::path& path, const Image& image);

// Any PNG: palettes and grey become RGB, sixteen bits become eight, alpha is dropped, gamma is left alone. DataError:
// no PNG, damaged, cut short, or of more than 2^28 pixels. `where` names it in messages.
ByteImage decode_png(std::string_view bytes, const std::string& where);
ByteImage read_png(const std::filesystem::path& path);

}  // namespace stamp
