#include <bit>
#include <cstring>

#include "base/parallel.h"
#include "quant/grid.h"
#include "quant/sequence_quantizer.h"
#include "support/catch.h"
#include "support/matrices.h"
#include "support/packets.h"

using namespace stamp;
using test::Matrix;

namespace {

std::unique_ptr<SequenceTransform> make(const std::string& name, std::int64_t tokens, std::int64_t skip = 0,
                                        Json levels = nullptr) {
  SequenceTransformRequest request;
  request.tokens = tokens - skip;
  request.high_tokens = std::max<std::int64_t>(1, tokens / 8);
  if (name == "haar") request.options["levels"] = levels;
  if (name == "klt") {
    const auto dct = make("dct", tokens - skip)->matrix();
    request.basis = std::make_shared<std::vector<float>>(dct.begin(), dct.end());
  }
  if (name == "haar_packets") request.basis = test::some_packets(tokens - skip);
  if (name == "per_slot") request.basis = std::make_shared<const std::vector<float>>(1, 1.0f);  // the second one
  return skip_first(skip, make_sequence_transform(name, request));
}

RowBits two_level(std::int64_t tokens, std::int64_t k, float low = 4, float high = 8) {
  RowBits rows;
  rows.bits.assign(static_cast<std::size_t>(tokens), low);
  rows.high_tokens = std::min(k, tokens);
  rows.high_bits = high;
  for (std::int64_t i = 0; i < rows.high_tokens; ++i) rows.bits[static_cast<std::size_t>(i)] = high;
  return rows;
}
RowBits largest(std::int64_t tokens, std::int64_t k) {
  RowBits rows = two_level(tokens, 0);
  rows.dynamic = true;
  rows.high_tokens = k;
  return rows;
}

void check_statistics(const SlotStatistics& got, const SlotStatistics& expected) {
  // Float sums over a row in 16 lanes, and single values that round to the other neighbour of a tie.
  const auto close = [](double a, double b) { return std::fabs(a - b) <= 2e-3 * std::fabs(b) + 1e-9; };
  CHECK(got.samples == expected.samples);
  CHECK(got.tokens == expected.tokens);
  CHECK(got.features == expected.features);
  CHECK(got.group == expected.group);
  CHECK(got.row_bits == expected.row_bits);
  for (std::size_t i = 0; i < expected.row_energy.size(); ++i) {
    CHECK(got.row_energy[i] == Approx(expected.row_energy[i]).epsilon(1e-4).margin(1e-9));
    CHECK(got.row_range2[i] == Approx(expected.row_range2[i]).epsilon(1e-4).margin(1e-9));
    CHECK(std::fabs(got.row_error[i] - expected.row_error[i]) <= 0.02 * expected.row_error[i] + 1e-9);
  }
  CHECK(close(got.signal, expected.signal));
  CHECK(close(got.error, expected.error));
  CHECK(close(got.b1, expected.b1));
  CHECK(close(got.b2, expected.b2));
  CHECK(close(got.b3, expected.b3));
  CHECK(close(got.b4, expected.b4));
  CHECK(close(got.b5, expected.b5));
  CHECK(close(got.worst_ratio, expected.worst_ratio));
}

// Transforms differ in their last bits, so a value beside a rounding tie may take the other level: in the
// transformed domain every difference is none or one step of its row, and the second is rare.
void check_levels(const SequenceTransform& l, const Matrix& x, const RowBits& bits, const ActivationGrid& grid,
                  const Matrix& got, const Matrix& expected) {
  Matrix gap(x.rows, x.cols);
  for (std::int64_t i = 0; i < x.rows; ++i)
    for (std::int64_t j = 0; j < x.cols; ++j) gap.at(i, j) = got.at(i, j) - expected.at(i, j);
  const auto m = l.matrix();
  const Matrix t = test::dense_left(m, x);
  gap = test::dense_left(m, gap);
  std::int64_t moved = 0;
  bool legal = true;
  const std::int64_t g = grid.group > 0 ? std::min(grid.group, x.cols) : x.cols;
  for (std::int64_t i = 0; i < x.rows; ++i)
    for (std::int64_t c = 0; c < x.cols; c += g) {
      float low = 0, high = 0;
      for (std::int64_t j = c; j < std::min(c + g, x.cols); ++j) {
        low = std::min(low, t.at(i, j));
        high = std::max(high, t.at(i, j));
      }
      const double fewest = bits.dynamic ? 4 : static_cast<double>(bits.bits[static_cast<std::size_t>(i)]);
      const auto steps = static_cast<double>(steps_of(fewest));
      const double step =
          grid.symmetric ? std::max(-low, high) / std::floor(steps / 2) : static_cast<double>(high - low) / steps;
      for (std::int64_t j = c; j < std::min(c + g, x.cols); ++j) {
        const double d = std::fabs(static_cast<double>(gap.at(i, j)));
        if (d < 1e-5) continue;
        ++moved;
        if (d > step * 1.001 + 1e-5) legal = false;
      }
    }
  CHECK(legal);
  CHECK(moved <= 2 + x.rows * x.cols / 1000);
}

void check_case(const SequenceTransform& l, std::int64_t cols, const RowBits& bits, const ActivationGrid& grid,
                std::int64_t extra) {
  INFO("tokens " << l.tokens() << ", features " << cols << ", group " << grid.group << ", symmetric " << grid.symmetric
                 << ", clip " << grid.clip << ", dynamic " << bits.dynamic << ", extra stride " << extra);
  QuantizerWorkspace workspace;
  const Matrix x = test::gaussian(l.tokens(), cols, static_cast<std::uint64_t>(cols + l.tokens()), extra);
  Matrix out(l.tokens(), cols, extra), expected(l.tokens(), cols), in_place = x, silent(l.tokens(), cols);
  SlotStatistics got, want;
  quantize_sequence(x.view(), l, bits, grid, out.view(), &got, workspace);
  quantize_sequence_reference(x.view(), l, bits, grid, expected.view(), &want);
  quantize_sequence(in_place.view(), l, bits, grid, in_place.view(), nullptr, workspace);
  quantize_sequence(x.view(), l, bits, grid, silent.view(), nullptr, workspace);
  CHECK(test::difference(out, in_place) == 0);
  CHECK(test::difference(out, silent) == 0);
  CHECK(out.margin_kept());
  CHECK(in_place.margin_kept());
  check_levels(l, x, bits, grid, out, expected);
  check_statistics(got, want);
}

}  // namespace

TEST_CASE("fused quantization agrees with the dense twin: transforms and shapes") {
  for (const auto& plugin : sequence_transforms()) {
    const std::string& name = plugin.info.name;
    if (name.ends_with("2d")) continue;  // need a grid: transforms/grid_test.cpp
    DYNAMIC_SECTION(name) {
      for (const std::int64_t s : {1, 2, 16, 31, 64, 100})
        for (const std::int64_t skip : {0, 1, 4}) {
          if (skip >= s || (name == "wht" && !std::has_single_bit(static_cast<std::uint64_t>(s - skip)))) continue;
          for (const std::int64_t cols : {1, 16, 37, 200})
            check_case(*make(name, s, skip), cols, two_level(s, 8), {}, cols % 5);
        }
    }
  }
}

TEST_CASE("fused quantization agrees with the dense twin: groups, grids, picks") {
  for (const std::string name : {"identity", "haar", "dct", "wht", "klt"}) {
    DYNAMIC_SECTION(name) {
      const auto l = make(name, 64);
      for (const std::int64_t cols : {192, 130})
        for (const std::int64_t group : {0, 7, 64, 65, 129})
          for (const bool symmetric : {false, true})
            for (const double clip : {1.0, 0.9}) {
              ActivationGrid grid;
              grid.symmetric = symmetric;
              grid.clip = clip;
              grid.group = group;
              check_case(*l, cols, two_level(64, 6), grid, 0);
              if (clip == 1.0) check_case(*l, cols, largest(64, 6), grid, 3);
            }
    }
  }
}

TEST_CASE("fused quantization agrees with the dense twin: learned ends of the range") {
  for (const std::string name : {"identity", "haar", "dct", "klt"})
    for (const std::int64_t group : {0, 64, 100})
      for (const bool symmetric : {false, true}) {
        ActivationGrid grid;
        grid.symmetric = symmetric;
        grid.group = group;
        grid.learned_low = 0.75;
        grid.learned_high = 0.9;
        grid.learned_bits = 4;
        const auto l = make(name, 64);
        check_case(*l, 192, two_level(64, 6), grid, 0);
        check_case(*l, 192, largest(64, 6), grid, 0);
      }
}

TEST_CASE("learned ends of the range are those of low-bit rows only, and one is no change") {
  const auto l = make("haar", 64);
  QuantizerWorkspace workspace;
  const Matrix x = test::gaussian(64, 96, 5, 0);
  const auto run = [&](const RowBits& bits, const ActivationGrid& grid) {
    Matrix out(64, 96, 0);
    quantize_sequence(x.view(), *l, bits, grid, out.view(), nullptr, workspace);
    return out;
  };
  ActivationGrid plain, learned;
  learned.learned_low = 0.5;
  learned.learned_high = 0.6;
  learned.learned_bits = 4;
  const Matrix four = run(two_level(64, 0), plain), eight = run(two_level(64, 64), plain);
  CHECK(test::difference(run(two_level(64, 0), learned), four) > 0.1);
  CHECK(test::difference(run(two_level(64, 64), learned), eight) == 0);
  ActivationGrid one = plain;
  one.learned_bits = 4;
  CHECK(test::difference(run(two_level(64, 10), one), run(two_level(64, 10), plain)) == 0);
}

TEST_CASE("fused quantization agrees with the dense twin: depths, long blocks, bits") {
  for (const int levels : {0, 1, 2, 4, 6, 8, 9})
    check_case(*make("haar", 300, 1, levels), 40, two_level(300, 10), {}, 0);
  check_case(*make("haar", 700, 0, 10), 70, two_level(700, 10), {}, 0);  // one block, beyond the block path
  const auto l = make("haar", 48);
  check_case(*l, 33, two_level(48, 4, 4, 16), {}, 0);
  check_case(*l, 33, two_level(48, 4, 2, 3), {}, 0);
  check_case(*l, 33, two_level(48, 100), {}, 0);  // s <= k: all rows high
  RowBits fractional = two_level(48, 0);
  for (std::size_t i = 0; i < 48; ++i) fractional.bits[i] = 7.9f - 0.1f * static_cast<float>(i);
  check_case(*l, 33, fractional, {}, 0);
  const Matrix x = test::gaussian(48, 33, 1);
  Matrix same(48, 33);
  QuantizerWorkspace workspace;
  SlotStatistics statistics;
  quantize_sequence(x.view(), *l, two_level(48, 48, 16, 16), {}, same.view(), &statistics, workspace);
  CHECK(test::difference(same, x) < 1e-5);
  CHECK(statistics.error == 0);
  CHECK(statistics.b1 == 0);
  CHECK(statistics.average_bits() == 16);
  CHECK(std::isinf(statistics.sqnr_db()));
}

TEST_CASE("large outputs written around the caches are the same values") {
  const std::int64_t s = 1025, d = 4096;
  const auto l = make("haar", s, 1, 5);
  const Matrix x = test::gaussian(s, d, 9);
  std::vector<float> aligned(static_cast<std::size_t>(s * d) + 16);
  auto* start = reinterpret_cast<float*>((reinterpret_cast<std::uintptr_t>(aligned.data()) + 63) / 64 * 64);
  QuantizerWorkspace workspace;
  Matrix in_place = x;
  quantize_sequence(in_place.view(), *l, two_level(s, 33), {}, in_place.view(), nullptr, workspace);
  quantize_sequence(x.view(), *l, two_level(s, 33), {}, {start, s, d, d}, nullptr, workspace);
  CHECK(std::memcmp(start, in_place.values.data(), static_cast<std::size_t>(s * d) * sizeof(float)) == 0);
}

TEST_CASE("statistics add up over samples and merge") {
  const auto l = make("haar", 40, 1);
  QuantizerWorkspace workspace;
  SlotStatistics together, first, second, reference;
  for (int sample = 0; sample < 3; ++sample) {
    const Matrix x = test::gaussian(40, 50, static_cast<std::uint64_t>(sample));
    Matrix out(40, 50);
    quantize_sequence(x.view(), *l, two_level(40, 5), {}, out.view(), &together, workspace);
    quantize_sequence(x.view(), *l, two_level(40, 5), {}, out.view(), sample == 0 ? &first : &second, workspace);
    quantize_sequence_reference(x.view(), *l, two_level(40, 5), {}, out.view(), &reference);
  }
  check_statistics(together, reference);
  first.merge(second);
  CHECK(first.samples == 3);
  CHECK(first.error == Approx(together.error).epsilon(1e-12));
  CHECK(first.row_energy == together.row_energy);
  CHECK(first.worst_ratio == together.worst_ratio);
  CHECK(together.average_bits() == Approx(4 + 4 * 5.0 / 40));
  SlotStatistics empty;
  empty.merge(first);
  CHECK(empty.error == first.error);
  first.merge(SlotStatistics{});
  CHECK(first.samples == 3);
  SlotStatistics other;
  Matrix small = test::gaussian(7, 3, 1);
  quantize_sequence(small.view(), *make("identity", 7), two_level(7, 1), {}, small.view(), &other, workspace);
  CHECK_THROWS_AS(first.merge(other), std::logic_error);
  // The signal and the error are those of X: L is orthonormal.
  const Matrix x = test::gaussian(40, 50, 0);
  Matrix out(40, 50);
  SlotStatistics one;
  quantize_sequence(x.view(), *l, two_level(40, 5), {}, out.view(), &one, workspace);
  double signal = 0, error = 0;
  for (std::int64_t i = 0; i < 40; ++i)
    for (std::int64_t j = 0; j < 50; ++j) {
      signal += std::pow(static_cast<double>(x.at(i, j)), 2);
      error += std::pow(static_cast<double>(out.at(i, j)) - static_cast<double>(x.at(i, j)), 2);
    }
  CHECK(one.signal == Approx(signal).epsilon(1e-5));
  CHECK(one.error == Approx(error).epsilon(1e-4));
  CHECK(one.sqnr_db() == Approx(10 * std::log10(signal / error)).epsilon(1e-4));
}

TEST_CASE("energies alone: the same sums, x untouched") {
  for (const auto& plugin : sequence_transforms())
    for (const std::int64_t group : {0, 8, 100}) {
      if (plugin.info.name.ends_with("2d")) continue;
      INFO(plugin.info.name << " group " << group);
      const auto l = make(plugin.info.name, 64);
      const Matrix x = test::gaussian(64, 150, 2);
      const Matrix before = x;
      Matrix out(64, 150);
      SlotStatistics energies, full;
      QuantizerWorkspace workspace;
      ActivationGrid grid;
      grid.group = group;
      measure_energies(x.view(), *l, group, energies, workspace);
      quantize_sequence(x.view(), *l, two_level(64, 4), grid, out.view(), &full, workspace);
      CHECK(test::difference(x, before) == 0);
      CHECK(energies.samples == 1);
      CHECK(energies.error == 0);
      CHECK(energies.group == full.group);
      for (std::size_t i = 0; i < 64; ++i) {
        CHECK(energies.row_energy[i] == Approx(full.row_energy[i]).epsilon(1e-5));
        CHECK(energies.row_range2[i] == Approx(full.row_range2[i]).epsilon(1e-5));
      }
      CHECK(energies.energy_share(64) == Approx(1));
      CHECK(energies.energy_share(0) == 0);
    }
}

TEST_CASE("NaN makes the rows it reaches NaN, and no other") {
  QuantizerWorkspace workspace;
  for (const std::string name : {"identity", "haar", "dct"}) {
    Matrix x = test::gaussian(64, 40, 3), out(64, 40), expected(64, 40);
    x.at(9, 5) = NAN;
    const auto l = make(name, 64, 0, 3);
    SlotStatistics statistics;
    quantize_sequence(x.view(), *l, two_level(64, 8), {}, out.view(), &statistics, workspace);
    quantize_sequence_reference(x.view(), *l, two_level(64, 8), {}, expected.view(), nullptr);
    CHECK(std::isnan(statistics.error));
    for (std::int64_t i = 0; i < 64; ++i)
      for (std::int64_t j = 0; j < 40; ++j) {
        if (name == "dct") {
          CHECK(std::isnan(out.at(i, j)));
        } else {
          CHECK(std::isnan(out.at(i, j)) == std::isnan(expected.at(i, j)));
          CHECK(std::isnan(out.at(i, j)) == (name == "identity" ? i == 9 : i / 8 == 1));
        }
      }
  }
  Matrix x = test::gaussian(64, 40, 3), out(64, 40);
  x.at(9, 5) = INFINITY;
  quantize_sequence(x.view(), *make("haar", 64), largest(64, 4), {}, out.view(), nullptr, workspace);
  CHECK(std::isnan(out.at(9, 0)));
}

TEST_CASE("thread count does not change a bit") {
  const int before = threads();
  for (const std::string name : {"haar", "dct", "identity"}) {
    const auto l = make(name, 200, 1);
    const Matrix x = test::gaussian(200, 300, 6);
    Matrix one(200, 300), two(200, 300);
    SlotStatistics a, b;
    QuantizerWorkspace workspace;
    set_threads(1);
    quantize_sequence(x.view(), *l, two_level(200, 20), {}, one.view(), &a, workspace);
    set_threads(3);
    quantize_sequence(x.view(), *l, two_level(200, 20), {}, two.view(), &b, workspace);
    CHECK(test::difference(one, two) == 0);
    CHECK(a.error == b.error);
    CHECK(a.b1 == b.b1);
    CHECK(a.row_error == b.row_error);
  }
  set_threads(before);
}

TEST_CASE("shapes that do not fit are our fault and say so") {
  QuantizerWorkspace workspace;
  Matrix x = test::gaussian(8, 4, 1);
  CHECK_THROWS_AS(quantize_sequence(x.view(), *make("haar", 7), two_level(8, 1), {}, x.view(), nullptr, workspace),
                  std::logic_error);
  CHECK_THROWS_AS(quantize_sequence(x.view(), *make("haar", 8), two_level(7, 1), {}, x.view(), nullptr, workspace),
                  std::logic_error);
}
