// PNG files: what is written is read, other kinds become RGB as PIL makes them, damaged ones are refused.
#include <cmath>
#include <random>

#include "base/sha256.h"
#include "images/png.h"
#include "pattern.h"
#include "support/catch.h"
#include "support/message.h"

using namespace stamp;
using namespace stamp::test;

namespace {

std::string from_hex(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2)
    out += static_cast<char>(std::stoi(text.substr(i, 2), nullptr, 16));
  return out;
}

}  // namespace

TEST_CASE("a PNG file holds every byte of an image", "[images]") {
  const Scratch scratch;
  const ByteImage image = pattern(19, 33, 5);
  write_png(scratch.path() / "a.png", image);
  const ByteImage back = read_png(scratch.path() / "a.png");
  CHECK(back.height == 19);
  CHECK(back.width == 33);
  CHECK(back.bytes == image.bytes);
  CHECK(encode_png(image) == encode_png(back));
}

TEST_CASE("palettes, grey and alpha become RGB as in PIL", "[images]") {
  for (const char* kind : {"palette", "grey", "alpha"}) {
    INFO(kind);
    const ByteImage image = decode_png(from_hex(golden().at(kind).at("png")), kind);
    CHECK(image.width == 37);
    CHECK(sha256_hex(bytes_of(image)) == golden().at(kind).at("sha256").get<std::string>());
  }
}

TEST_CASE("numbers become bytes by rounding, out of range ones by cutting", "[images]") {
  Image image(1, 6);
  const float values[] = {-3.0F, 0.0F, 0.5F / 255, 1.5F / 255, 7.0F, NAN};
  for (int x = 0; x < 6; ++x) image.at(1, 0, x) = values[x];
  const ByteImage bytes = to_bytes(image);
  const int expected[] = {0, 0, 0, 2, 255, 0};
  for (int x = 0; x < 6; ++x) CHECK(static_cast<int>(bytes.pixel(0, x)[1]) == expected[x]);
  for (int b = 0; b < 256; ++b) {
    ByteImage one(1, 1);
    one.pixel(0, 0)[2] = static_cast<std::uint8_t>(b);
    CHECK(to_bytes(to_floats(one)).bytes == one.bytes);
  }
  const float decoded[] = {-1, 0, 1, -2, 2, 0.5F};
  const Image image01 = from_signed(decoded, 6, 1, 2);
  CHECK(image01.values == std::vector<float>{0, 0.5F, 1, 0, 1, 0.75F});
  CHECK_THROWS_AS(from_signed(decoded, 6, 1, 3), std::logic_error);
}

TEST_CASE("damaged PNG files are refused with a reason, or read; nothing else", "[images]") {
  const std::string whole = encode_png(pattern(11, 13, 2));
  CHECK(lacks(data_error([&] { decode_png("no image", "x.png"); }), "x.png: is no PNG file") == "");
  for (std::size_t size = 0; size + 1 < whole.size(); size += 5)
    CHECK(data_error([&] { decode_png(whole.substr(0, size), "x.png"); }) != "(no DataError)");
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    std::string changed = whole;
    changed[random() % changed.size()] = static_cast<char>(random());
    try {
      decode_png(changed, "x.png");
    } catch (const DataError&) {
    }
  }
  CHECK_THROWS_AS(encode_png(ByteImage()), std::logic_error);
  CHECK_THROWS_AS(read_png("no such file.png"), DataError);
}
