// Haar wavelet packets: the transform, and the exact choice of a basis.
#include <limits>

#include "base/error.h"
#include "support/catch.h"
#include "support/matrices.h"
#include "transforms/haar_packets.h"
#include "transforms/vector.h"

using namespace stamp;
using test::Matrix;

namespace {

PacketEnergies measured(const Matrix& x, int depth) {
  PacketEnergies energies(x.rows, depth);
  energies.add(x.view());
  return energies;
}

// Rows whose neighbours are alike with a sign that changes: Haar's approximations hold little of them.
Matrix alternating(std::int64_t s, std::int64_t d, std::uint64_t seed) {
  Matrix x = test::gaussian(s, d, seed);
  for (std::int64_t t = 1; t < s; ++t)
    for (std::int64_t j = 0; j < d; ++j) x.at(t, j) = -0.95f * x.at(t - 1, j) + 0.3f * x.at(t, j);
  return x;
}

// Energies of all bases below a node, by recursion over all trees: the slow twin of dynamic programming.
std::vector<std::vector<double>> all_bases(const PacketEnergies& energies, int level, std::int64_t node) {
  const auto rows = energies.level(level);
  std::vector<double> own;
  for (auto q = static_cast<std::size_t>(node); q < rows.size(); q += std::size_t{1} << level) own.push_back(rows[q]);
  std::vector<std::vector<double>> bases{own};
  if (level == energies.depth() || own.size() < 2) return bases;
  for (const auto& low : all_bases(energies, level + 1, node))
    for (const auto& high : all_bases(energies, level + 1, node + (std::int64_t{1} << level))) {
      bases.push_back(low);
      bases.back().insert(bases.back().end(), high.begin(), high.end());
    }
  return bases;
}

double two_level_cost(std::vector<double> e, std::size_t k) {
  std::sort(e.rbegin(), e.rend());
  double sum = 0;
  for (std::size_t i = 0; i < e.size(); ++i) sum += e[i] / (i < k ? 255.0 * 255 : 15.0 * 15);
  return sum;
}

}  // namespace

TEST_CASE("both rules find the best of all packet bases") {
  for (const std::int64_t s : {8, 13, 16, 11})
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
      const Matrix x = seed % 2 ? alternating(s, 3, seed) : test::gaussian(s, 2, seed);
      const PacketEnergies energies = measured(x, 3);
      const auto bases = all_bases(energies, 0, 0);
      INFO(s << " tokens, seed " << seed << ", " << bases.size() << " bases");
      double best_log = std::numeric_limits<double>::infinity();
      for (const auto& e : bases) {
        double sum = 0;
        for (const double v : e) sum += std::log2(v);
        best_log = std::min(best_log, sum);
      }
      CHECK(best_packets_by_log(energies).cost == Approx(best_log).epsilon(1e-10));
      for (const std::size_t k : {0, 1, 3, 7, 30}) {
        double best = std::numeric_limits<double>::infinity();
        for (const auto& e : bases) best = std::min(best, two_level_cost(e, k));
        const PacketBasis basis = best_packets_for_two_levels(energies, static_cast<std::int64_t>(k), 4, 8);
        CHECK(basis.cost == Approx(best).epsilon(1e-10));
        CHECK(two_level_cost(basis.energy, k) == Approx(best).epsilon(1e-10));
      }
    }
}

TEST_CASE("a packet basis is an orthonormal transform with the energies it was chosen for, most energetic first") {
  for (const std::int64_t s : {1, 2, 16, 31, 100}) {
    const int depth = s < 4 ? 1 : 2;
    const Matrix x = alternating(s, 24, 9);
    const PacketEnergies energies = measured(x, s == 1 ? 0 : depth);
    const PacketBasis basis = best_packets_by_log(energies);
    const auto l = haar_packets(basis);
    INFO(s << " tokens");
    const auto m = l->matrix();
    double worst = 0;
    for (std::int64_t i = 0; i < s; ++i)
      for (std::int64_t j = 0; j < s; ++j) {
        double dot = 0;
        for (std::int64_t t = 0; t < s; ++t)
          dot += m[static_cast<std::size_t>(i * s + t)] * m[static_cast<std::size_t>(j * s + t)];
        worst = std::max(worst, std::fabs(dot - (i == j)));
      }
    CHECK(worst < 1e-13);
    Matrix t = x;
    transform_forward(*l, t.view());
    CHECK(test::difference(t, test::dense_left(m, x)) < 1e-5);
    for (std::int64_t i = 0; i < s; ++i) {
      double e = 0;
      for (std::int64_t j = 0; j < 24; ++j) e += std::pow(static_cast<double>(t.at(i, j)), 2);
      CHECK(e == Approx(basis.energy[static_cast<std::size_t>(i)]).epsilon(1e-4).margin(1e-6));
      if (i > 0) CHECK(basis.energy[static_cast<std::size_t>(i)] <= basis.energy[static_cast<std::size_t>(i - 1)]);
    }
    transform_inverse(*l, t.view());
    CHECK(test::difference(t, x) < 1e-5);
  }
}

TEST_CASE("the block view of packets is the transform") {
  const std::int64_t s = 75, d = 13, stride = simd::padded(d) + 16;
  const Matrix x = alternating(s, d, 2);
  const auto l = haar_packets(best_packets_for_two_levels(measured(x, 5), 9, 4, 8));
  const BlockwiseTransform* view = l->blockwise();
  REQUIRE(view);
  Matrix expected = x, got(s, d), back(s, d);
  transform_forward(*l, expected.view());
  for (std::int64_t b = 0; b < view->blocks(); ++b) {
    const std::int64_t begin = view->block_begin(b), n = view->block_begin(b + 1) - begin;
    std::vector<float> tile(static_cast<std::size_t>(n * stride), 9.0f);
    view->forward_block(b, {x.view().row(begin), n, d, d}, {tile.data(), n, d, stride});
    for (std::int64_t p = 0; p < n; ++p)
      std::copy_n(tile.data() + p * stride, d, got.view().row(view->output_row(begin + p)));
    view->inverse_block(b, {tile.data(), n, d, stride}, {back.view().row(begin), n, d, d}, false);
  }
  CHECK(test::difference(got, expected) == 0);
  CHECK(test::difference(back, x) < 1e-5);
}

TEST_CASE("packets are never worse than Haar, and far better where neighbours alternate") {
  const Matrix x = alternating(256, 32, 4);
  const PacketEnergies energies = measured(x, 4);
  const PacketBasis best = best_packets_for_two_levels(energies, 16, 4, 8);
  // Haar of four levels is one of the bases: only low halves are split.
  std::vector<double> haar;
  const auto deepest = energies.level(4);
  for (std::size_t q = 0; q < 256; ++q) {
    int level = 0;
    while (level < 4 && (q >> level & 1) == 0) ++level;
    haar.push_back(energies.level(level == 4 ? 4 : level + 1)[q]);
  }
  CHECK(deepest.size() == 256);
  CHECK(best.cost <= two_level_cost(haar, 16));
  CHECK(best.cost < 0.6 * two_level_cost(haar, 16));
}

TEST_CASE("a basis survives the cache, and what is none is refused") {
  const Matrix x = alternating(32, 8, 1);
  const PacketBasis basis = best_packets_by_log(measured(x, 3));
  const std::vector<float> values = floats_of(basis);
  const PacketBasis back = packet_basis_of(values, 32);
  CHECK(back.leaf == basis.leaf);
  CHECK(back.place == basis.place);
  SequenceTransformRequest request;
  request.tokens = 32;
  request.basis = std::make_shared<const std::vector<float>>(values);
  CHECK(haar_packets_plugin().make(request)->matrix() == haar_packets(basis)->matrix());
  CHECK_THROWS_AS(packet_basis_of(std::vector<float>(63), 32), TrialError);
  std::vector<float> broken = values;
  broken[40] = broken[41];  // a place twice
  CHECK_THROWS_AS(packet_basis_of(broken, 32), TrialError);
  // Row 2 goes on splitting a node whose first row has stopped.
  CHECK_THROWS_AS(packet_basis_of(std::vector<float>{1, 1, 2, 1, 0, 1, 2, 3}, 4), TrialError);
  CHECK_NOTHROW(packet_basis_of(std::vector<float>{2, 1, 2, 1, 0, 1, 2, 3}, 4));
  CHECK_THROWS_AS(best_packets_by_log(PacketEnergies(8, 2)), std::logic_error);
}

TEST_CASE("the measured basis of a slot is the one of its rule, at the depth that levels mean") {
  const Matrix x = alternating(64, 8, 3), y = alternating(64, 8, 4);
  const BasisPlugin* plugin = measured_basis("haar_packets");
  REQUIRE(plugin);
  CHECK(measured_basis("klt") == nullptr);
  BasisRequest r;
  r.tokens = 64;
  r.high_tokens = 8;
  r.low_bits = 3;
  r.high_bits = 7;
  const auto basis = [&] {
    const auto measure = plugin->start(r);
    measure->add(x.view());
    measure->add(y.view());
    return measure->basis();
  };
  const auto energies = [&](int depth) {
    PacketEnergies e(64, depth);
    e.add(x.view());
    e.add(y.view());
    return e;
  };
  CHECK(basis() == floats_of(best_packets_for_two_levels(energies(3), 8, 3, 7)));  // 64 / 8 = 2^3
  r.options = {{"levels", 5}, {"cost", "log_energy"}};
  CHECK(basis() == floats_of(best_packets_by_log(energies(5))));
  CHECK(basis().size() == plugin->floats(64));
  CHECK(plugin->sum_bytes(r) == 64 * 6 * sizeof(double));
  r.options["levels"] = 7;
  CHECK_THROWS_WITH(basis(), Catch::Contains("at most 6"));
  // No high rows are known: the published 64, here all.
  r.options = Json::object();
  r.high_tokens = 0;
  CHECK(basis() == floats_of(best_packets_for_two_levels(energies(0), 64, 3, 7)));
  PlanFacts facts;
  facts.tokens = facts.context = 64;
  facts.calibration_samples = 1;
  facts.options = {{"levels", 7}};
  CHECK(haar_packets_plugin().info.refuse(facts).find("at most 6") != std::string::npos);
  facts.options = {{"levels", nullptr}};
  CHECK(haar_packets_plugin().info.refuse(facts).empty());
}
