// Features that are no multiple of the group: 5600 in SANA's feed-forward part. The last group is a short one, which is
// the same as filling the features up with zeros. Specification methods 1.4, models 16.3.
#include "quant/grid.h"
#include "quant/sequence_quantizer.h"
#include "support/catch.h"
#include "support/matrices.h"

using namespace stamp;
using test::Matrix;

namespace {

constexpr std::int64_t tokens = 64;

// The columns of `from`, then zeros.
Matrix filled_up(const Matrix& from, std::int64_t columns) {
  Matrix out(from.rows, columns);
  for (std::int64_t i = 0; i < from.rows; ++i)
    for (std::int64_t j = 0; j < columns; ++j) out.at(i, j) = j < from.cols ? from.at(i, j) : 0.0f;
  return out;
}

void check_same(const Matrix& shorter, const Matrix& filled) {
  std::int64_t different = 0;
  for (std::int64_t i = 0; i < shorter.rows; ++i) {
    for (std::int64_t j = 0; j < shorter.cols; ++j) different += shorter.at(i, j) != filled.at(i, j);
    for (std::int64_t j = shorter.cols; j < filled.cols; ++j) different += filled.at(i, j) != 0.0f;
  }
  CHECK(different == 0);
}

}  // namespace

TEST_CASE("a short last group of an activation is one filled up with zeros, and counts the values that it has") {
  for (const std::int64_t features : {std::int64_t{5600}, std::int64_t{72}, std::int64_t{65}})
    for (const bool symmetric : {false, true}) {
      const std::int64_t whole = (features + 63) / 64 * 64;
      Matrix x = test::gaussian(tokens, features, 3);
      Matrix padded = filled_up(x, whole);
      SequenceTransformRequest request;
      request.tokens = tokens;
      request.grid_height = request.grid_width = 8;
      request.high_tokens = 4;
      const auto l = make_sequence_transform("haar2d", request);
      RowBits bits;
      bits.bits.assign(tokens, 4.0f);
      bits.high_tokens = 4;
      bits.high_bits = 8;
      for (std::size_t i = 0; i < 4; ++i) bits.bits[i] = 8.0f;
      ActivationGrid grid;
      grid.group = 64;
      grid.symmetric = symmetric;
      SlotStatistics own, of_padded;
      QuantizerWorkspace workspace;
      quantize_sequence(x.view(), *l, bits, grid, x.view(), &own, workspace);
      quantize_sequence(padded.view(), *l, bits, grid, padded.view(), &of_padded, workspace);
      check_same(x, padded);
      CHECK(own.error == Approx(of_padded.error).epsilon(1e-6));
      // (g/2) sum e / N^2 with the values of every group: filled up, the last group would count 64.
      CHECK(own.b1 < of_padded.b1);
      if (!symmetric) CHECK(own.error <= own.b1);
    }
}

TEST_CASE("a short last group of a weight is one filled up with zeros, with and without the search for a clip") {
  for (const std::int64_t features : {std::int64_t{5600}, std::int64_t{72}})
    for (const bool search : {false, true})
      for (const bool symmetric : {false, true}) {
        Matrix w = test::gaussian(3, features, 4);
        Matrix padded = filled_up(w, (features + 63) / 64 * 64);
        WeightGrid grid;
        grid.bits = 4;
        grid.group = 64;
        grid.symmetric = symmetric;
        grid.clip_search = search;
        fake_quantize_weight(w.view(), grid);
        fake_quantize_weight(padded.view(), grid);
        check_same(w, padded);
      }
}
