#include "images/png.h"

#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <stdexcept>

#include "base/error.h"
#include "base/files.h"

namespace stamp {
namespace {

// libpng reports errors by a jump. No object with a destructor may come to life between setjmp and the jump, so that
// all of them live in a structure outside.
struct Reader {
  std::string_view bytes;
  std::size_t at = 0;
  ByteImage image;
  std::vector<png_bytep> rows;
  std::string message;
  bool too_large = false;
};

void on_error(png_structp png, png_const_charp message) {
  static_cast<Reader*>(png_get_error_ptr(png))->message = message;
  png_longjmp(png, 1);
}
void on_warning(png_structp, png_const_charp) {}

void on_read(png_structp png, png_bytep out, png_size_t count) {
  auto* reader = static_cast<Reader*>(png_get_io_ptr(png));
  if (count > reader->bytes.size() - reader->at) png_error(png, "the file is cut short");
  std::copy_n(reader->bytes.data() + reader->at, count, reinterpret_cast<char*>(out));
  reader->at += count;
}

bool start(png_structp png, png_infop info, Reader& reader) {
  constexpr std::uint64_t kMost = std::uint64_t{1} << 28;
  if (setjmp(png_jmpbuf(png))) return false;
  png_set_read_fn(png, &reader, on_read);
  png_read_info(png, info);
  const std::uint64_t width = png_get_image_width(png, info), height = png_get_image_height(png, info);
  if (width * height > kMost) {
    reader.too_large = true;
    return false;
  }
  png_set_expand(png);  // palettes to RGB, few bits to eight, transparent colours to alpha
  png_set_scale_16(png);
  png_set_gray_to_rgb(png);
  png_set_strip_alpha(png);
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
  return true;
}

bool read_rows(png_structp png, Reader& reader) {
  if (setjmp(png_jmpbuf(png))) return false;
  png_read_image(png, reader.rows.data());
  png_read_end(png, nullptr);
  return true;
}

}  // namespace

ByteImage decode_png(std::string_view bytes, const std::string& where) {
  if (bytes.size() < 8 || png_sig_cmp(reinterpret_cast<png_const_bytep>(bytes.data()), 0, 8) != 0)
    throw DataError(where + ": is no PNG file");
  Reader reader;
  reader.bytes = bytes;
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader, on_error, on_warning);
  png_infop info = png != nullptr ? png_create_info_struct(png) : nullptr;
  if (info == nullptr) {
    png_destroy_read_struct(&png, nullptr, nullptr);
    throw Error(ExitCode::internal, "libpng cannot be started");
  }
  struct Guard {
    png_structp& png;
    png_infop& info;
    ~Guard() { png_destroy_read_struct(&png, &info, nullptr); }
  } guard{png, info};
  bool good = start(png, info, reader);
  if (good) {
    const auto height = static_cast<std::int64_t>(png_get_image_height(png, info));
    const auto width = static_cast<std::int64_t>(png_get_image_width(png, info));
    if (png_get_rowbytes(png, info) != static_cast<std::size_t>(3 * width))
      throw DataError(where + ": is a PNG file of a kind that is not supported");
    reader.image = ByteImage(height, width);
    for (std::int64_t y = 0; y < height; ++y) reader.rows.push_back(reader.image.pixel(y, 0));
    good = read_rows(png, reader);
  }
  if (reader.too_large) throw DataError(where + ": has more than 2^28 pixels");
  if (!good) throw DataError(where + ": is a damaged PNG file: " + reader.message);
  return std::move(reader.image);
}

ByteImage read_png(const std::filesystem::path& path) {
  return decode_png(read_file(path), path.string());
}

std::string encode_png(const ByteImage& image) {
  if (image.height < 1 || image.width < 1) throw std::logic_error("an image without pixels cannot be written");
  ::png_image header{};
  header.version = PNG_IMAGE_VERSION;
  header.width = static_cast<png_uint_32>(image.width);
  header.height = static_cast<png_uint_32>(image.height);
  header.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = 0;
  std::string out;
  bool good = png_image_write_to_memory(&header, nullptr, &size, 0, image.bytes.data(), 0, nullptr) != 0;
  if (good) {
    out.resize(size);
    good = png_image_write_to_memory(&header, out.data(), &size, 0, image.bytes.data(), 0, nullptr) != 0;
  }
  if (!good) throw Error(ExitCode::internal, std::string("libpng cannot write an image: ") + header.message);
  out.resize(size);
  return out;
}

void write_png(const std::filesystem::path& path, const ByteImage& image) {
  write_file_atomic(path, encode_png(image));
}

void write_png(const std::filesystem::path& path, const Image& image) {
  write_png(path, to_bytes(image));
}

}  // namespace stamp
