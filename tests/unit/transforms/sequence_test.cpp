#include <bit>
#include <cstring>

#include "base/error.h"
#include "support/catch.h"
#include "support/matrices.h"
#include "support/packets.h"
#include "transforms/haar.h"
#include "transforms/sequence_transform.h"
#include "transforms/vector.h"

using namespace stamp;
using test::Matrix;

namespace {

std::unique_ptr<SequenceTransform> make(const std::string& name, std::int64_t tokens, Json levels = nullptr) {
  SequenceTransformRequest request;
  request.tokens = tokens;
  request.high_tokens = std::max<std::int64_t>(1, tokens / 32);
  if (name == "haar") request.options["levels"] = levels;
  if (name == "klt") {  // any orthonormal basis serves as a calibrated one
    const auto dct = make("dct", tokens)->matrix();
    request.basis = std::make_shared<std::vector<float>>(dct.begin(), dct.end());
  }
  if (name == "haar_packets") request.basis = test::some_packets(tokens);
  if (name == "per_slot") request.basis = std::make_shared<const std::vector<float>>(1, 1.0f);  // the second one
  return make_sequence_transform(name, request);
}

std::vector<float> column(const std::string& name, std::vector<float> x, Json levels = nullptr) {
  const auto l = make(name, static_cast<std::int64_t>(x.size()), levels);
  const auto n = static_cast<std::int64_t>(x.size());
  transform_forward(*l, {x.data(), n, 1, 1});
  return x;
}

void check_close(const std::vector<float>& got, const std::vector<double>& expected) {
  REQUIRE(got.size() == expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i] == Approx(expected[i]).margin(1e-5));
}

// Sums of s float products of order 1 / sqrt s: rounding grows like sqrt(log s) for the fast ones, and the dense KLT
// adds s terms; 16 epsilons of the largest value times log2 s covers both and is far below any wrong row (order 1).
double tolerance(std::int64_t tokens) {
  return 4e-6 * (1 + std::bit_width(static_cast<std::uint64_t>(tokens)));
}

void check_against_matrix(const SequenceTransform& l, std::int64_t cols, std::int64_t extra) {
  INFO("tokens " << l.tokens() << ", columns " << cols << ", extra stride " << extra);
  const Matrix x = test::gaussian(l.tokens(), cols, 7, extra);
  Matrix t = x;
  transform_forward(l, t.view());
  const auto m = l.matrix();
  CHECK(test::difference(t, test::dense_left(m, x)) < tolerance(l.tokens()));
  Matrix back = t;
  transform_inverse(l, back.view());
  CHECK(test::difference(back, x) < tolerance(l.tokens()));
  CHECK(test::difference(back, test::dense_left(m, t, true)) < tolerance(l.tokens()));
  CHECK(t.margin_kept());
  CHECK(back.margin_kept());
}

}  // namespace

TEST_CASE("the examples of the specification") {
  check_close(column("haar", {1, 2, 3, 4}, 2), {5, -2, -0.70711, -0.70711});
  check_close(column("dct", {1, 2, 3, 4}), {5, -2.23044, 0, -0.158513});
  check_close(column("wht", {1, 2, 3, 4}), {5, -2, 0, -1});
  check_close(column("identity", {1, 2, 3, 4}), {1, 2, 3, 4});
  const double r2 = std::sqrt(2.0);
  // Five tokens, one level: the carried row joins the approximation unchanged, without the gain.
  check_close(column("haar", {1, 2, 3, 4, 5}, 1), {3 / r2, 7 / r2, 5, -1 / r2, -1 / r2});
  check_close(column("haar", {1, 2, 3, 4, 5}, 2), {5, 5, -2, -1 / r2, -1 / r2});
}

TEST_CASE("every sequence transform agrees with its dense twin, both ways, on odd shapes and strided views") {
  for (const auto& plugin : sequence_transforms()) {
    const std::string& name = plugin.info.name;
    if (name.ends_with("2d")) continue;  // grid_test.cpp
    DYNAMIC_SECTION(name) {
      for (const std::int64_t s : {1, 2, 3, 5, 7, 8, 16, 23, 31, 32, 33, 63, 64, 100, 127, 128, 255, 300}) {
        if (name == "wht" && !std::has_single_bit(static_cast<std::uint64_t>(s))) continue;
        const auto l = make(name, s);
        REQUIRE(l->tokens() == s);
        check_against_matrix(*l, 1, 0);
        check_against_matrix(*l, 37, 5);
        check_against_matrix(*skip_first(3, make(name, s)), 17, 2);
      }
      check_against_matrix(*make(name, 64), 150, 10);  // several tiles
    }
  }
}

TEST_CASE("dense twins are orthonormal") {
  for (const auto& plugin : sequence_transforms())
    for (const std::int64_t s : {1, 6, 16, 33}) {
      if (plugin.info.name.ends_with("2d")) continue;  // grid_test.cpp
      if (plugin.info.name == "wht" && !std::has_single_bit(static_cast<std::uint64_t>(s))) continue;
      INFO(plugin.info.name << " " << s);
      const auto m = make(plugin.info.name, s)->matrix();
      const auto n = static_cast<std::size_t>(s);
      double worst = 0;
      for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = 0; j < n; ++j) {
          double dot = 0;
          for (std::size_t k = 0; k < n; ++k) dot += m[i * n + k] * m[j * n + k];
          worst = std::max(worst, std::fabs(dot - (i == j)));
        }
      CHECK(worst < (plugin.info.name == "klt" ? 1e-6 : 1e-12));  // the KLT basis is handed over in float
    }
}

TEST_CASE("haar at every depth, and its levels") {
  for (const std::int64_t s : {1, 2, 3, 7, 13, 32, 33, 96, 127, 200, 257})
    for (int levels = 0; levels <= haar_full_depth(s); ++levels) check_against_matrix(*make("haar", s, levels), 19, 1);
  CHECK(haar_full_depth(2048) == 11);
  CHECK(haar_full_depth(2047) == 11);
  CHECK(haar_full_depth(1) == 0);
  CHECK(haar_auto_levels(2048, 64) == 5);
  CHECK(haar_auto_levels(2047, 63) == 5);
  CHECK(haar_auto_levels(2047, 64) == 4);  // 63.97 rows would not hold the 64 approximation rows of 5 levels
  CHECK(haar_auto_levels(64, 64) == 0);
  CHECK(haar_auto_levels(10, 64) == 0);
}

TEST_CASE("the block view is the transform") {
  const auto check_blocks = [](const SequenceTransform& l) {
    const BlockwiseTransform* blocks = l.blockwise();
    REQUIRE(blocks);
    const std::int64_t s = l.tokens(), d = 21, stride = 48;
    const Matrix x = test::gaussian(s, d, 3);
    Matrix expected = x, got(s, d), back(s, d);
    transform_forward(l, expected.view());
    REQUIRE(blocks->block_begin(blocks->blocks()) == s);
    for (std::int64_t b = 0; b < blocks->blocks(); ++b) {
      const std::int64_t begin = blocks->block_begin(b), n = blocks->block_begin(b + 1) - begin;
      std::vector<float> tile(static_cast<std::size_t>(n * stride), 9.0f);
      blocks->forward_block(b, {x.view().row(begin), n, d, d}, {tile.data(), n, d, stride});
      for (std::int64_t p = 0; p < n; ++p) {
        std::copy_n(tile.data() + p * stride, d, got.view().row(blocks->output_row(begin + p)));
        for (std::int64_t c = d; c < simd::padded(d); ++c)
          CHECK(tile[static_cast<std::size_t>(p * stride + c)] == 0.0f);
      }
      blocks->inverse_block(b, {tile.data(), n, d, stride}, {back.view().row(begin), n, d, d}, false);
    }
    CHECK(test::difference(got, expected) < 1e-6);
    CHECK(test::difference(back, x) < 3e-6);
  };
  check_blocks(*make("identity", 50));
  for (const std::int64_t s : {8, 31, 63, 100, 129, 2047})
    for (const int levels : {0, 1, 3, 5, 6})
      if (levels <= haar_full_depth(s)) {
        check_blocks(*make("haar", s, levels));
        check_blocks(*skip_first(1, make("haar", s, levels)));
      }
  CHECK(make("dct", 64)->blockwise() == nullptr);
  CHECK(skip_first(1, make("wht", 64))->blockwise() == nullptr);
}

TEST_CASE("long sequences go there and back") {
  for (const std::string name : {"haar", "dct", "wht"})
    for (const std::int64_t s : {2048, 2047, 4096, 1000}) {
      if (name == "wht" && !std::has_single_bit(static_cast<std::uint64_t>(s))) continue;
      INFO(name << " " << s);
      const auto l = make(name, s);
      const Matrix x = test::gaussian(s, 40, 5);
      Matrix t = x;
      transform_forward(*l, t.view());
      double before = 0, after = 0;
      for (std::int64_t i = 0; i < s; ++i)
        for (std::int64_t j = 0; j < 40; ++j) {
          before += std::pow(static_cast<double>(x.at(i, j)), 2);
          after += std::pow(static_cast<double>(t.at(i, j)), 2);
        }
      CHECK(after == Approx(before).epsilon(1e-6));
      transform_inverse(*l, t.view());
      CHECK(test::difference(t, x) < tolerance(s));
    }
}

TEST_CASE("haar at full depth and wht span the same spaces at powers of two") {
  const std::size_t s = 64;
  const auto haar = make("haar", 64, 6)->matrix(), wht = make("wht", 64)->matrix();
  for (std::size_t k = 1; k <= s; k *= 2) {
    // Projectors on the first k rows are equal.
    double worst = 0;
    for (std::size_t i = 0; i < s; ++i)
      for (std::size_t j = 0; j < s; ++j) {
        double a = 0, b = 0;
        for (std::size_t r = 0; r < k; ++r) {
          a += haar[r * s + i] * haar[r * s + j];
          b += wht[r * s + i] * wht[r * s + j];
        }
        worst = std::max(worst, std::fabs(a - b));
      }
    CHECK(worst < 1e-12);
  }
}

TEST_CASE("identity leaves the bits of every value") {
  Matrix x = test::gaussian(9, 5, 1);
  const Matrix before = x;
  transform_forward(*skip_first(2, make("identity", 7)), x.view());
  CHECK(std::memcmp(x.values.data(), before.values.data(), x.values.size() * sizeof(float)) == 0);
}

TEST_CASE("refusals name the reason") {
  const auto reason = [](const std::string& name, std::int64_t tokens, Json levels = nullptr) {
    try {
      make(name, tokens, levels);
    } catch (const TrialError& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  CHECK(reason("wht", 2047).find("2^m") != std::string::npos);
  CHECK(reason("haar", 8, 4).find("at most 3") != std::string::npos);
  CHECK(reason("harr", 8).find("haar") != std::string::npos);
  CHECK(reason("dct", 0).find("at least one token") != std::string::npos);
  SequenceTransformRequest klt;
  klt.tokens = 8;
  CHECK_THROWS_AS(make_sequence_transform("klt", klt), TrialError);
  klt.basis = std::make_shared<std::vector<float>>(63);
  CHECK_THROWS_AS(make_sequence_transform("klt", klt), TrialError);
  PlanFacts facts;
  facts.context = 2048;
  facts.skip_first = 1;
  facts.tokens = 2047;
  for (const auto& plugin : sequence_transforms())
    if (plugin.info.name == "wht") {
      CHECK(plugin.info.refuse(facts).find("skip_first: 0") != std::string::npos);
      facts.tokens = 2048;
      facts.skip_first = 0;
      CHECK(plugin.info.refuse(facts).empty());
    }
}

TEST_CASE("NaN stays in its column and its block") {
  Matrix x = test::gaussian(64, 3, 1);
  x.at(5, 1) = NAN;
  transform_forward(*make("haar", 64, 2), x.view());
  for (std::int64_t i = 0; i < 64; ++i) {
    CHECK_FALSE(std::isnan(x.at(i, 0)));
    CHECK_FALSE(std::isnan(x.at(i, 2)));
  }
  int bad = 0;
  for (std::int64_t i = 0; i < 64; ++i) bad += std::isnan(x.at(i, 1));
  CHECK(bad == 3);  // one approximation, one detail of each level
}
