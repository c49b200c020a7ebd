// Files cut at every byte and files with random damage end in success or in a DataError, and never make the program
// allocate more than the file holds.
#include <algorithm>
#include <functional>

#include "allocations.h"
#include "base/error.h"
#include "base/seed.h"
#include "formats/gguf.h"
#include "formats/json_text.h"
#include "formats/safetensors.h"
#include "support/catch.h"
#include "support/gguf_writer.h"

using namespace stamp;

namespace {

// Small files: messages and tables of a few kilobytes may exceed them.
constexpr std::size_t kFloor = 16384;

struct Outcome {
  bool read = false;        // else a DataError
  std::size_t largest = 0;  // allocation
};

Outcome try_gguf(const std::string& bytes) {
  stamp::test::reset_largest_allocation();
  try {
    const GgufFile file = parse_gguf(reinterpret_cast<const std::byte*>(bytes.data()), bytes.size(), "x.gguf");
    double sum = 0;
    for (const TensorInfo& tensor : file.tensors) {
      std::vector<float> row(static_cast<std::size_t>(tensor.columns()));
      try {
        for (std::int64_t r = 0; r < std::min<std::int64_t>(tensor.rows(), 64); ++r) {
          read_rows(tensor, r, 1, row.data());
          sum += row[0];
        }
      } catch (const DataError&) {  // integers
      }
    }
    for (const auto& [key, array] : file.arrays) {
      if (array.type == 8)
        sum += static_cast<double>(strings_of(array, key).size());
      else if (array.type != 9)
        sum += static_cast<double>(numbers_of(array, key).size());
    }
    file.metadata.dump();
    return {sum == sum || sum != sum, stamp::test::largest_allocation()};
  } catch (const DataError&) {
    return {false, stamp::test::largest_allocation()};
  }
}

Outcome try_safetensors(const std::string& bytes) {
  stamp::test::reset_largest_allocation();
  try {
    const SafetensorsFile file =
        parse_safetensors(reinterpret_cast<const std::byte*>(bytes.data()), bytes.size(), "x.safetensors");
    for (const TensorInfo& tensor : file.tensors) {
      std::vector<float> row(static_cast<std::size_t>(tensor.columns()));
      try {
        if (tensor.rows() > 0) read_rows(tensor, tensor.rows() - 1, 1, row.data());
      } catch (const DataError&) {  // integers
      }
    }
    return {true, stamp::test::largest_allocation()};
  } catch (const DataError&) {
    return {false, stamp::test::largest_allocation()};
  }
}

// Overwrites one to four places with bytes or with whole numbers that counts, offsets and lengths are likely to trip
// over.
std::string damaged(std::string bytes, RandomStream& random) {
  static const std::uint64_t absurd[] = {0,
                                         1,
                                         0x7F,
                                         0xFF,
                                         0x7FFFFFFF,
                                         0xFFFFFFFF,
                                         0x100000000,
                                         0x7FFFFFFFFFFFFFFF,
                                         0x8000000000000000,
                                         0xFFFFFFFFFFFFFFFF,
                                         0xFFFFFFFFFFFFFFE0,
                                         0x4000000000000001};
  for (std::uint64_t n = 1 + random.below(4); n > 0; --n) {
    const std::size_t at = random.below(bytes.size());
    if (random.below(2) == 0) {
      bytes[at] = static_cast<char>(random.below(256));
    } else {
      const std::uint64_t value = absurd[random.below(std::size(absurd))] + random.below(3);
      const std::size_t width = random.below(2) == 0 ? 4 : 8;
      std::memcpy(bytes.data() + at, &value, std::min(width, bytes.size() - at));
    }
  }
  return bytes;
}

void cut_everywhere(const std::string& whole, Outcome (*attempt)(const std::string&)) {
  REQUIRE(attempt(whole).read);
  int wrongly_read = 0;
  std::size_t largest = 0;
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const Outcome outcome = attempt(whole.substr(0, size));
    if (outcome.read) ++wrongly_read;
    largest = std::max(largest, outcome.largest);
  }
  CHECK(wrongly_read == 0);
  CHECK(largest <= std::max(whole.size(), kFloor));
}

void damage(const std::string& whole, Outcome (*attempt)(const std::string&), std::uint64_t seed) {
  RandomStream random(seed, "damaged files");
  std::size_t largest = 0;
  int read = 0, refused = 0;
  for (int i = 0; i < 20000; ++i) {
    const Outcome outcome = attempt(damaged(whole, random));
    ++(outcome.read ? read : refused);
    largest = std::max(largest, outcome.largest);
  }
  CHECK(largest <= std::max(whole.size(), kFloor));
  // Both ways out are taken: damage inside tensor data goes unnoticed, damage in headers does not.
  CHECK(read > 100);
  CHECK(refused > 1000);
}

}  // namespace

TEST_CASE("GGUF cut at every byte", "[formats]") {
  cut_everywhere(stamp::test::sample_gguf(), try_gguf);
}
TEST_CASE("safetensors cut at every byte", "[formats]") {
  cut_everywhere(stamp::test::sample_safetensors(), try_safetensors);
}
TEST_CASE("GGUF with random damage", "[formats]") {
  damage(stamp::test::sample_gguf(), try_gguf, 1);
}
TEST_CASE("safetensors with random damage", "[formats]") {
  damage(stamp::test::sample_safetensors(), try_safetensors, 2);
}

TEST_CASE("the allocation counter sees allocations", "[formats]") {
  stamp::test::reset_largest_allocation();
  const std::vector<char> big(123456);
  CHECK(stamp::test::largest_allocation() >= big.size());
}
