// The chunked cache against an obvious one: rows in a list, chunks rewritten by the dense quantizer when they are full,
// attention as a double loop.
#include <cmath>

#include "decoding/sequence_cache.h"
#include "quant/allocation.h"
#include "quant/sequence_quantizer.h"
#include "support/catch.h"
#include "support/matrices.h"

using namespace stamp;
using test::Matrix;

namespace {

constexpr std::int64_t heads = 4, kv_heads = 2, head_dim = 8, width = kv_heads * head_dim;

AttentionShape shape_of(std::int64_t window) {
  AttentionShape s;
  s.heads = heads;
  s.kv_heads = kv_heads;
  s.head_dim = head_dim;
  s.window = window;
  s.scale = 0.35f;
  return s;
}

CacheRules rules_of(const std::string& transform, std::int64_t chunk, double bits, bool transformed = true) {
  QuantizationSpec q;
  q.kv_cache.bits = bits;
  q.kv_cache.transformed = transformed;
  q.sequence.transform = transform;
  for (const auto& p : sequence_transforms())
    if (p.info.name == transform) q.sequence.options = complete_options(p.info, Json::object(), transform);
  q.allocation.options = complete_options(allocator("two_level").info, Json{{"high_tokens", 5}}, "allocation");
  DecodeSpec decode;
  decode.chunk = chunk;
  decode.high_tokens = "s/4";
  return cache_rules(q, decode, head_dim, plain_gemm);
}

struct Rows {
  Matrix q, k, v;
  explicit Rows(std::int64_t n)
      : q(test::gaussian(n, heads * head_dim, 1)), k(test::gaussian(n, width, 2)), v(test::gaussian(n, width, 3)) {}
};

// One row at a time; every closed chunk goes through the dense reference quantizer.
class PlainCache {
 public:
  explicit PlainCache(const CacheRules& rules) : rules_(rules) {}
  std::vector<double> attend(const Rows& r, std::int64_t row, const AttentionShape& s) {
    for (std::int64_t c = 0; c < width; ++c) {
      k_.push_back(r.k.at(row, c));
      v_.push_back(r.v.at(row, c));
    }
    std::vector<double> out;
    const std::int64_t first = s.window > 0 ? std::max<std::int64_t>(0, row - s.window + 1) : 0;
    for (std::int64_t h = 0; h < s.heads; ++h) {
      const std::int64_t kv = h / (s.heads / s.kv_heads);
      std::vector<double> p;
      double total = 0;
      for (std::int64_t j = first; j <= row; ++j) {
        double score = 0;
        for (std::int64_t d = 0; d < head_dim; ++d)
          score += static_cast<double>(r.q.at(row, h * head_dim + d)) * at(k_, j, kv * head_dim + d);
        p.push_back(std::exp(score * static_cast<double>(s.scale)));
        total += p.back();
      }
      for (std::int64_t d = 0; d < head_dim; ++d) {
        double value = 0;
        for (std::int64_t j = first; j <= row; ++j)
          value += p[static_cast<std::size_t>(j - first)] / total * at(v_, j, kv * head_dim + d);
        out.push_back(value);
      }
    }
    const std::int64_t rows = row + 1;
    if (rows % rules_.chunk == 0 && rules_.closes(rows / rules_.chunk - 1))
      for (auto* values : {&k_, &v_}) close(*values, rows / rules_.chunk - 1);
    return out;
  }

 private:
  static double at(const std::vector<float>& values, std::int64_t row, std::int64_t col) {
    return static_cast<double>(values[static_cast<std::size_t>(row * width + col)]);
  }
  void close(std::vector<float>& values, std::int64_t index) const {
    SequenceTransformRequest request;
    request.tokens = rules_.chunk;
    const auto identity = make_sequence_transform("identity", request);
    const SequenceTransform* l = rules_.transform_of(index);
    RowBits bits;
    bits.bits = rules_.row_bits(index);
    const MatrixView chunk{values.data() + index * rules_.chunk * width, rules_.chunk, width, width};
    quantize_sequence_reference(chunk, l ? *l : *identity, bits, rules_.grid, chunk, nullptr);
  }
  CacheRules rules_;
  std::vector<float> k_, v_;
};

// All rows through the cache in pieces of the given sizes, the last one repeated.
Matrix through(SequenceCache& cache, const Rows& r, const std::vector<std::int64_t>& pieces, const AttentionShape& s,
               std::int64_t layer = 0) {
  Matrix out(r.q.rows, heads * head_dim);
  std::int64_t row = 0;
  for (std::size_t i = 0; row < r.q.rows; ++i) {
    const std::int64_t n = std::min(pieces[std::min(i, pieces.size() - 1)], r.q.rows - row);
    const auto part = [&](const Matrix& m) { return ConstMatrixView{m.view().row(row), n, m.cols, m.stride}; };
    cache.attend(layer, part(r.q), part(r.k), part(r.v), s, {out.view().row(row), n, out.cols, out.stride});
    row += n;
  }
  return out;
}

bool same(const Matrix& a, const Matrix& b) {
  return a.values == b.values;
}

// Float32 sums of up to 131 values around one, in another order; a level that fell the other way would cost 0.2.
constexpr double rounding = 1e-5;

}  // namespace

TEST_CASE("the chunked cache attends as the obvious one: transforms, windows, chunk sizes") {
  const Rows r(75);
  for (const std::string transform : {"haar", "dct", "identity"})
    for (const std::int64_t chunk : {5, 16, 32})
      for (const std::int64_t window : {0, 7, 40}) {
        CAPTURE(transform, chunk, window);
        const CacheRules rules = rules_of(transform, chunk, 4);
        SequenceCache cache(rules, 1, width, CacheView::rebuild);
        const Matrix ours = through(cache, r, {1}, shape_of(window));
        PlainCache plain(rules);
        double worst = 0;
        for (std::int64_t i = 0; i < r.q.rows; ++i) {
          const std::vector<double> expected = plain.attend(r, i, shape_of(window));
          for (std::int64_t c = 0; c < ours.cols; ++c)
            worst =
                std::max(worst, std::abs(static_cast<double>(ours.at(i, c)) - expected[static_cast<std::size_t>(c)]));
        }
        CHECK(worst < rounding);
      }
}

TEST_CASE("what a row sees does not depend on how the rows arrive, nor on how the cache is read") {
  const Rows r(131);
  for (const bool transformed : {true, false})
    for (const double bits : {4.0, 3.0, 16.0})
      for (const std::int64_t window : {0, 20}) {
        CAPTURE(transformed, bits, window);
        const CacheRules rules = rules_of("haar", 16, bits, transformed);
        SequenceCache one(rules, 1, width, CacheView::rebuild);
        const Matrix expected = through(one, r, {1}, shape_of(window));
        for (const std::vector<std::int64_t>& pieces :
             std::vector<std::vector<std::int64_t>>{{131}, {48, 1}, {50, 3, 16}, {16}, {7}}) {
          SequenceCache rebuilt(rules, 1, width, CacheView::rebuild), kept(rules, 1, width, CacheView::keep);
          const Matrix a = through(rebuilt, r, pieces, shape_of(window)),
                       b = through(kept, r, pieces, shape_of(window));
          CHECK(same(a, b));
          CHECK(difference(a, expected) < rounding);
          CHECK(rebuilt.tokens() == 131);
          CHECK(rebuilt.stored_bytes() == one.stored_bytes());
          CHECK(kept.stored_bytes() == one.stored_bytes());
        }
      }
}

TEST_CASE("closed chunks are rounded, open ones are not") {
  const Rows r(20);
  const auto shape = shape_of(0);
  SequenceCache exact(rules_of("haar", 16, 16), 1, width, CacheView::rebuild);
  SequenceCache rounded(rules_of("haar", 16, 2), 1, width, CacheView::rebuild);
  const Matrix a = through(exact, r, {1}, shape), b = through(rounded, r, {1}, shape);
  double before = 0, behind = 0;
  for (std::int64_t i = 0; i < 20; ++i)
    for (std::int64_t c = 0; c < a.cols; ++c)
      (i < 16 ? before : behind) = std::max(
          i < 16 ? before : behind, std::abs(static_cast<double>(a.at(i, c)) - static_cast<double>(b.at(i, c))));
  CHECK(before == 0);  // the row that fills the chunk is the last to see it open
  CHECK(behind > 0.01);
}

TEST_CASE("layers keep their own rows, and the bytes are those of the formula") {
  const Rows r(100);
  for (const CacheView view : {CacheView::rebuild, CacheView::keep}) {
    const CacheRules rules = rules_of("haar", 32, 4);
    SequenceCache cache(rules, 3, width, view);
    CHECK(cache.tokens() == 0);
    CHECK(cache.until_closed() == 32);
    Matrix first(0, 0);
    for (std::int64_t layer = 0; layer < 3; ++layer) {
      const Matrix out = through(cache, r, {40, 1}, shape_of(0), layer);
      if (layer == 0) first = out;
      CHECK(same(out, first));
    }
    CHECK(cache.until_closed() == 32 - 100 % 32);
    const std::uint64_t formula = 3 * 2 * cache_bytes(rules, 100, width);
    CHECK(cache.stored_bytes() >= formula);
    CHECK(cache.stored_bytes() <= formula + 3 * 2 * 3 * 64);  // two runs of rows and a word of padding a chunk
  }
  SequenceCache plain(rules_of("haar", 32, 16), 3, width, CacheView::rebuild);
  CHECK(plain.until_closed() == std::numeric_limits<std::int64_t>::max());
  for (std::int64_t layer = 0; layer < 3; ++layer) through(plain, r, {100}, shape_of(0), layer);
  CHECK(plain.stored_bytes() == 3 * 2 * 100 * width * 4);
}

TEST_CASE("every cache has its own grid: learned factors change the cache they belong to") {
  const Rows r(40);
  const CacheRules rules = rules_of("haar", 16, 4);
  ActivationGrid learned = rules.grid;
  learned.learned_low = learned.learned_high = 0.5;
  learned.learned_bits = 4;
  SequenceCache plain(rules, 2, width, CacheView::rebuild);
  SequenceCache second(rules, 2, width, CacheView::rebuild, {rules.grid, rules.grid, rules.grid, learned});
  CHECK(same(through(plain, r, {1}, shape_of(0), 0), through(second, r, {1}, shape_of(0), 0)));
  CHECK_FALSE(same(through(plain, r, {1}, shape_of(0), 1), through(second, r, {1}, shape_of(0), 1)));
  CHECK_THROWS_AS(SequenceCache(rules, 2, width, CacheView::rebuild, {rules.grid}), std::logic_error);
}

TEST_CASE("rows that do not fit are refused") {
  const Rows r(4);
  SequenceCache cache(rules_of("haar", 32, 4), 2, width, CacheView::keep);
  Matrix out(4, heads * head_dim);
  CHECK_THROWS_AS(cache.attend(2, r.q.view(), r.k.view(), r.v.view(), shape_of(0), out.view()), std::logic_error);
  CHECK_THROWS_AS(cache.attend(0, r.q.view(), r.q.view(), r.v.view(), shape_of(0), out.view()), std::logic_error);
}
