// Transforms within blocks, what looks ahead, and losses told apart by it.
#include <limits>

#include "support/catch.h"
#include "support/matrices.h"
#include "transforms/look_ahead.h"
#include "transforms/vector.h"

using namespace stamp;
using test::Matrix;

namespace {

std::unique_ptr<SequenceTransform> make(const std::string& name, std::int64_t tokens, Json options = Json::object()) {
  SequenceTransformRequest request;
  request.tokens = tokens;
  request.high_tokens = 64;
  request.options = std::move(options);
  return make_sequence_transform(name, request);
}

}  // namespace

TEST_CASE("a row of a block transform lies in one block, and rows go round robin over the blocks") {
  for (const std::string name : {"haar_blocks", "dct_blocks"})
    for (const std::int64_t s : {64, 60, 7, 129})
      for (const std::int64_t c : {1, 2, 5, 16, 31, 200}) {
        INFO(name << " " << s << " tokens, blocks of " << c);
        const auto m = make(name, s, {{"block", c}})->matrix();
        const std::int64_t blocks = (s + c - 1) / c;
        std::int64_t row = 0;
        for (std::int64_t rank = 0; rank < c; ++rank)
          for (std::int64_t b = 0; b < blocks; ++b) {
            if (rank >= std::min(c, s - b * c)) continue;  // the last block is short
            for (std::int64_t t = 0; t < s; ++t)
              if (t / c != b) CHECK(m[static_cast<std::size_t>(row * s + t)] == 0);
            ++row;
          }
        CHECK(row == s);
      }
}

TEST_CASE("the first row of every block is its mean, times the root of its length") {
  for (const std::string name : {"haar_blocks", "dct_blocks"}) {
    const auto m = make(name, 32, {{"block", 8}})->matrix();
    for (std::size_t b = 0; b < 4; ++b)
      for (std::size_t t = 0; t < 32; ++t)
        CHECK(m[b * 32 + t] == Approx(t / 8 == b ? std::sqrt(1 / 8.0) : 0.0).margin(1e-14));
  }
}

TEST_CASE("Haar in blocks of 2^J tokens has the rows of Haar with J levels") {
  const auto whole = make("haar", 96, {{"levels", 4}})->matrix(),
             blocks = make("haar_blocks", 96, {{"block", 16}})->matrix();
  std::size_t found = 0;
  for (std::size_t i = 0; i < 96; ++i)
    for (std::size_t j = 0; j < 96; ++j) {
      double gap = 0;
      for (std::size_t t = 0; t < 96; ++t) gap = std::max(gap, std::fabs(whole[i * 96 + t] - blocks[j * 96 + t]));
      found += gap < 1e-14;
    }
  CHECK(found == 96);
}

TEST_CASE("block view and whole transform agree for block transforms") {
  for (const std::string name : {"haar_blocks", "dct_blocks"})
    for (const std::int64_t s : {64, 61, 130})
      for (const std::int64_t c : {1, 3, 8, 32, 100}) {
        INFO(name << " " << s << " tokens, blocks of " << c);
        const auto l = make(name, s, {{"block", c}});
        const BlockwiseTransform* view = l->blockwise();
        REQUIRE(view);
        const std::int64_t d = 19, stride = simd::padded(d) + 16;
        const Matrix x = test::gaussian(s, d, 3);
        Matrix expected = x, got(s, d), back(s, d);
        transform_forward(*l, expected.view());
        CHECK(test::difference(expected, test::dense_left(l->matrix(), x)) < 2e-5);
        REQUIRE(view->block_begin(view->blocks()) == s);
        for (std::int64_t b = 0; b < view->blocks(); ++b) {
          const std::int64_t begin = view->block_begin(b), n = view->block_begin(b + 1) - begin;
          std::vector<float> tile(static_cast<std::size_t>(n * stride), 9.0f);
          view->forward_block(b, {x.view().row(begin), n, d, d}, {tile.data(), n, d, stride});
          for (std::int64_t p = 0; p < n; ++p)
            std::copy_n(tile.data() + p * stride, d, got.view().row(view->output_row(begin + p)));
          view->inverse_block(b, {tile.data(), n, d, stride}, {back.view().row(begin), n, d, d}, false);
        }
        CHECK(test::difference(got, expected) < 2e-6);
        CHECK(test::difference(back, x) < 4e-6);
      }
}

TEST_CASE("look-ahead: none for identity, to the end of the block for blocks, to the end of the text for the others") {
  for (const std::int64_t v : look_ahead(*make("identity", 20))) CHECK(v == 0);
  for (const std::string name : {"haar_blocks", "dct_blocks"}) {
    const auto ahead = look_ahead(*make(name, 20, {{"block", 8}}));
    for (std::int64_t t = 0; t < 20; ++t)
      CHECK(ahead[static_cast<std::size_t>(t)] == std::min<std::int64_t>(t / 8 * 8 + 7, 19) - t);
  }
  const auto dct = look_ahead(*make("dct", 20)), haar = look_ahead(*make("haar", 20, {{"levels", 2}}));
  for (std::int64_t t = 0; t < 20; ++t) {
    CHECK(dct[static_cast<std::size_t>(t)] == 19 - t);
    CHECK(haar[static_cast<std::size_t>(t)] == 3 - t % 4);
  }
  // Edge filters end where the text does; periodic ones take the last tokens into the first.
  const auto periodic = look_ahead(*make("wavelet", 64, {{"family", "db2"}, {"boundary", "periodic"}, {"levels", 1}}));
  const auto edge = look_ahead(*make("wavelet", 64, {{"family", "db2"}, {"boundary", "edge"}, {"levels", 1}}));
  CHECK(periodic[0] == 63);
  CHECK(edge[0] <= 4);
  CHECK(*std::max_element(edge.begin(), edge.end()) <= 4);
}

TEST_CASE("losses are told apart by the side of the finest pair, window by window") {
  // Left members lose 1, right ones 3; one skipped token and one without a partner.
  const std::vector<double> losses{9, 1, 3, 1, 3, 7, 9, 1, 3.5, 1, 3, 7};
  const ParitySplit split = parity_split(losses, 6, 1);
  CHECK(split.left.count == 4);
  CHECK(split.left.mean == Approx(1));
  CHECK(split.right.mean == Approx(3.125));
  CHECK(split.unpaired.count == 4);
  CHECK(split.unpaired.mean == Approx(8));
  CHECK(split.difference.count == 4);
  CHECK(split.difference.mean == Approx(2.125));
  CHECK(split.difference.standard_error == Approx(std::sqrt(4 * 0.0 + (3 * 0.125 * 0.125 + 0.375 * 0.375) / 3 / 4)));
  std::vector<double> broken = losses;
  broken[2] = std::numeric_limits<double>::quiet_NaN();
  CHECK(parity_split(broken, 6, 1).left.count == 3);
  CHECK(parity_split(std::vector<double>{}, 6, 1).left.count == 0);
  CHECK_THROWS_AS(parity_split(losses, 5, 1), std::logic_error);
  const std::vector<std::int64_t> ahead{0, 1, 0, 1, 0, 0};
  const LookAheadSplit by_row = look_ahead_split(losses, 6, ahead);
  CHECK(by_row.seeing.count == 4);
  CHECK(by_row.seeing.mean == Approx(1));
  CHECK(by_row.blind.count == 8);
  CHECK_THROWS_AS(look_ahead_split(losses, 6, std::vector<std::int64_t>{0}), std::logic_error);
}
