#include <cmath>

#include "explain/cost.h"
#include "support/catch.h"
#include "transforms/feature_transform.h"

using namespace stamp;

TEST_CASE("a Haar level costs two operations a row it touches; a carried row costs none") {
  CHECK(left_operations("haar", 8, 1, 0, 0) == 16);
  CHECK(left_operations("haar", 8, 3, 0, 0) == 2 * (8 + 4 + 2));
  CHECK(left_operations("haar", 7, 2, 0, 0) == 2 * (6 + 4));  // 7 -> 3 pairs and one carried: 4 -> 2 pairs
  CHECK(left_operations("haar", 8, 0, 0, 0) == 0);
  CHECK(left_operations("identity", 2048, 0, 0, 0) == 0);
}

TEST_CASE("a full Haar transform stays below the published bound of 4 s operations a column") {
  for (const std::int64_t s : {16, 64, 2047, 2048, 4096}) {
    CAPTURE(s);
    const double operations = left_operations("haar", s, 12, 0, 0);
    CHECK(operations <= 4.0 * static_cast<double>(s));
    CHECK(operations > 3.5 * static_cast<double>(s));
  }
  // Against 2 s d m of a layer: 2 (1 / d + 1 / m), 0.35% of a layer of 1152 x 1152 (specification methods 2.10).
  const double s = 4096, d = 1152, m = 1152;
  CHECK(left_operations("haar", 4096, 12, 0, 0) * (d + m) / (2 * s * d * m) == Approx(0.0035).epsilon(0.02));
}

TEST_CASE("on a grid a level costs three operations a row, a dense basis 2 s, and others by their Fourier transforms") {
  CHECK(left_operations("haar2d", 16, 2, 4, 4) == 3 * (16 + 4));
  CHECK(left_operations("klt", 10, 0, 0, 0) == 200);
  CHECK(left_operations("haar_packets", 10, 3, 0, 0) == 60);
  CHECK(left_operations("wht", 8, 0, 0, 0) == 8 * 3 + 8);
  CHECK(left_operations("dct", 8, 0, 0, 0) == 2.5 * 8 * 3);
  CHECK(left_operations("dct", 7, 0, 0, 0) == 5 * 16 * 4);  // a convolution of 16 >= 13
  CHECK(left_operations("dct2d", 32, 0, 4, 8) == 4 * 2.5 * 8 * 3 + 8 * 2.5 * 4 * 2);
  CHECK(left_operations("somebody's", 8, 0, 0, 0) < 0);
}

TEST_CASE("rotations are named and counted as they are built") {
  CHECK(rotation_name(64, true) == "Hadamard 64");
  CHECK(rotation_operations(64, true) == 64 * (6 + 1));
  CHECK(rotation_name(9, true) == "random orthogonal 9 x 9");
  CHECK(rotation_operations(9, true) == 2 * 81);
  CHECK(rotation_name(64, false) == "random orthogonal 64 x 64");
  CHECK(rotation_operations(1, true) == 0);
  for (const std::int64_t n : {12, 576, 1152, 1536, 14336}) {
    CAPTURE(n);
    const auto built = hadamard(n);
    REQUIRE(built);
    std::string name = built->name();  // "hadamard 36 x 16"
    name[0] = 'H';
    CHECK(rotation_name(n, true) == name);
  }
}

TEST_CASE("Kronecker factors are the closest divisors of equal parity, as the published ones are") {
  CHECK(kronecker_name(2048) == "learned 32 ⊗ 64");
  CHECK(kronecker_name(4096) == "learned 64 ⊗ 64");
  CHECK(kronecker_name(11008) == "learned 86 ⊗ 128");
  CHECK(kronecker_name(1152) == "learned 32 ⊗ 36");
  CHECK(kronecker_operations(2048) == 2.0 * 2048 * 96);
}
