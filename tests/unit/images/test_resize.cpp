// Sizes of images against PIL, PyTorch and diffusers (scripts/reference/images.py), and cases worked out by hand.
#include <cmath>

#include "base/sha256.h"
#include "images/size_bins.h"
#include "pattern.h"
#include "support/catch.h"
#include "support/message.h"

using namespace stamp;
using namespace stamp::test;

namespace {

double largest_gap(const Image& image, const Json& values) {
  double worst = image.values.size() == values.size() ? 0 : INFINITY;
  for (std::size_t i = 0; i < image.values.size() && i < values.size(); ++i)
    worst = std::max(worst, std::fabs(static_cast<double>(image.values[i]) - values[i].get<double>()));
  return worst;
}

}  // namespace

TEST_CASE("the cubic resize gives PIL's bytes", "[images]") {
  const ByteImage source = pattern(23, 37, 1);
  for (const Json& one : golden().at("bicubic")) {
    const ByteImage ours = resize_bicubic(source, {one.at("size")[0], one.at("size")[1]});
    INFO(one.at("size"));
    const Json first(std::vector<int>(ours.bytes.begin(),
                                      ours.bytes.begin() + std::min<std::ptrdiff_t>(24, std::ssize(ours.bytes))));
    CHECK(first == one.at("first"));
    CHECK(sha256_hex(bytes_of(ours)) == one.at("sha256").get<std::string>());
  }
}

TEST_CASE("the linear resize and the cover of a request agree with PyTorch and diffusers", "[images]") {
  const Image source = to_floats(pattern(23, 37, 1));
  for (const Json& one : golden().at("bilinear"))
    CHECK(largest_gap(resize_bilinear(source, {one.at("size")[0], one.at("size")[1]}), one.at("values")) < 1e-6);
  for (const Json& one : golden().at("cover"))
    CHECK(largest_gap(resize_to_cover(source, {one.at("size")[0], one.at("size")[1]}), one.at("values")) < 1e-6);
}

TEST_CASE("a linear resize by hand", "[images]") {
  Image two(1, 2);
  two.at(0, 0, 1) = 1;
  const Image four = resize_bilinear(two, {1, 4});
  CHECK(four.at(0, 0, 0) == 0.0F);
  CHECK(four.at(0, 0, 1) == 0.25F);
  CHECK(four.at(0, 0, 2) == 0.75F);
  CHECK(four.at(0, 0, 3) == 1.0F);
  CHECK(four.at(1, 0, 2) == 0.0F);
}

TEST_CASE("crops take the middle and refuse what is larger", "[images]") {
  const Image source = to_floats(pattern(5, 8, 3));
  const Image middle = centre_crop(source, {2, 3});
  CHECK(middle.at(2, 0, 0) == source.at(2, 1, 2));
  CHECK(middle.at(0, 1, 2) == source.at(0, 2, 4));
  CHECK_THROWS_AS(centre_crop(source, {6, 3}), std::logic_error);
  CHECK_THROWS_AS(resize_bilinear(source, {0, 3}), std::logic_error);
  CHECK(with_shortest_side({480, 641}, 224) == ImageSize{224, 299});
  CHECK(with_shortest_side({641, 480}, 224) == ImageSize{299, 224});
}

TEST_CASE("a part of an image is cut out where it lies, and only inside", "[images]") {
  const ByteImage source = pattern(5, 8, 3);
  const ByteImage part = cut_out(source, {2, 5}, {3, 2});
  CHECK(part.height == 3);
  CHECK(part.width == 2);
  for (std::int64_t y = 0; y < 3; ++y)
    CHECK(std::equal(part.pixel(y, 0), part.pixel(y, 0) + 6, source.pixel(y + 2, 5)));
  CHECK(centre_crop(source, {2, 3}).bytes == cut_out(source, {1, 2}, {2, 3}).bytes);
  CHECK_THROWS_AS(cut_out(source, {3, 5}, {3, 2}), std::logic_error);
  CHECK_THROWS_AS(cut_out(source, {2, 7}, {3, 2}), std::logic_error);
  CHECK_THROWS_AS(cut_out(source, {-1, 0}, {3, 2}), std::logic_error);
}

TEST_CASE("tables of sizes and the nearest shape are those of the pipelines", "[images]") {
  const Json& bins = golden().at("bins");
  CHECK(bins.at("tables").size() == 5);
  for (const auto& [side, table] : bins.at("tables").items()) {
    const std::vector<SizeBin> ours = size_bins(std::stoll(side));
    INFO(side);
    REQUIRE(ours.size() == table.size());
    for (std::size_t i = 0; i < ours.size(); ++i)
      CHECK(Json::array({ours[i].shape, ours[i].size.height, ours[i].size.width}) == table[i]);
  }
  for (const Json& one : bins.at("nearest")) {
    INFO(one);
    const auto size = nearest_size(size_bins(one[0]), {one[1], one[2]});
    CHECK(size == ImageSize{one[3], one[4]});
  }
  CHECK(table_side(128, 8) == 1024);
  CHECK(table_side(32, 32) == 1024);
  CHECK(lacks(data_error([] { table_side(100, 8); }), "800 x 800") == "");
}
