#include "transforms/haar_packets.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>
#include <stdexcept>
#include <string>

#include "base/error.h"
#include "base/option_info.h"
#include "transforms/haar.h"
#include "transforms/levels.h"
#include "transforms/row_order.h"
#include "transforms/rows.h"
#include "transforms/vector.h"

namespace stamp {
namespace {

void sum_and_difference(float* a, float* b, std::int64_t cols) {
  constexpr float half_root = std::numbers::sqrt2_v<float> / 2;
#pragma omp simd
  for (std::int64_t c = 0; c < cols; ++c) {
    const float p = a[c], q = b[c];
    a[c] = (p + q) * half_root;
    b[c] = (p - q) * half_root;
  }
}

// Splits every node of `level` that `splits(row)` says; the matrix is its own inverse.
template <typename Splits>
void split_level(MatrixView x, int level, std::int64_t cols, Splits splits) {
  const std::int64_t step = std::int64_t{1} << level;
  for (std::int64_t q = 0; q + step < x.rows; ++q)
    if ((q & step) == 0 && splits(q)) sum_and_difference(x.row(q), x.row(q + step), cols);
}

// Rows of node c of a level: c, c + 2^level, ...
std::vector<double> node_energies(const std::vector<double>& rows, int level, std::int64_t node) {
  std::vector<double> e;
  for (auto q = static_cast<std::size_t>(node); q < rows.size(); q += std::size_t{1} << level) e.push_back(rows[q]);
  return e;
}

// Marks the rows of a node as a leaf of `level`.
void mark(PacketBasis& basis, int level, std::int64_t node) {
  for (auto q = static_cast<std::size_t>(node); q < basis.leaf.size(); q += std::size_t{1} << level)
    basis.leaf[q] = static_cast<std::uint8_t>(level);
}

// Rows by falling energy, ties by row.
void order_rows(PacketBasis& basis, const PacketEnergies& energies) {
  std::vector<std::vector<double>> levels;
  for (int level = 0; level <= energies.depth(); ++level) levels.push_back(energies.level(level));
  const auto energy = [&](std::size_t q) { return levels[basis.leaf[q]][q]; };
  std::vector<std::size_t> order(basis.leaf.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return energy(a) > energy(b); });
  basis.place.resize(order.size());
  for (std::size_t to = 0; to < order.size(); ++to) {
    basis.place[order[to]] = static_cast<std::int64_t>(to);
    basis.energy.push_back(energy(order[to]));
  }
}

PacketBasis empty_basis(const PacketEnergies& energies) {
  if (energies.samples() == 0) throw std::logic_error("best packets: no sample has been measured");
  PacketBasis basis;
  basis.leaf.assign(static_cast<std::size_t>(energies.tokens()), 0);
  return basis;
}

// Least noise of a node for 0, 1, ... high rows, and how it comes about.
struct Curve {
  std::vector<double> cost;
  std::vector<std::int64_t> low_half;  // high rows of the low half; empty for a leaf everywhere
  std::vector<bool> split;
};

Curve leaf_curve(std::vector<double> energies, std::int64_t most, double low, double high) {
  std::sort(energies.rbegin(), energies.rend());
  Curve curve;
  curve.cost.push_back(low * std::accumulate(energies.begin(), energies.end(), 0.0));
  for (std::size_t j = 0; j < energies.size() && static_cast<std::int64_t>(j) < most; ++j)
    curve.cost.push_back(curve.cost.back() - energies[j] * (low - high));
  curve.split.assign(curve.cost.size(), false);
  curve.low_half.assign(curve.cost.size(), 0);
  return curve;
}

// Takes the split where it is better; both halves' curves together have every number of high rows that the node has.
void consider_split(Curve& node, const Curve& a, const Curve& b) {
  for (std::size_t i = 0; i < a.cost.size(); ++i)
    for (std::size_t j = 0; j < b.cost.size() && i + j < node.cost.size(); ++j)
      if (a.cost[i] + b.cost[j] < node.cost[i + j]) {
        node.cost[i + j] = a.cost[i] + b.cost[j];
        node.split[i + j] = true;
        node.low_half[i + j] = static_cast<std::int64_t>(i);
      }
}

class HaarPackets final : public SequenceTransform, public BlockwiseTransform {
 public:
  explicit HaarPackets(const PacketBasis& basis) : leaf_(basis.leaf), order_(basis.place) {
    for (const std::uint8_t level : leaf_) depth_ = std::max(depth_, static_cast<int>(level));
  }
  std::int64_t tokens() const override { return static_cast<std::int64_t>(leaf_.size()); }
  bool is_identity() const override {
    for (std::int64_t q = 0; q < tokens(); ++q)
      if (order_.place(q) != q) return false;
    return depth_ == 0;
  }
  const BlockwiseTransform* blockwise() const override { return this; }
  std::size_t scratch_floats(std::int64_t columns) const override { return static_cast<std::size_t>(columns); }
  void forward(MatrixView x, float* scratch) const override {
    for (int level = 0; level < depth_; ++level) split(x, level, 0, x.cols);
    order_.forward(x, scratch);
  }
  void inverse(MatrixView x, float* scratch) const override {
    order_.backward(x, scratch);
    for (int level = depth_; level-- > 0;) split(x, level, 0, x.cols);
  }

  // From the tree: a node is a list of rows of the matrix; splitting makes two lists of sums and differences.
  std::vector<double> matrix() const override {
    const auto s = static_cast<std::size_t>(tokens());
    using Rows = std::vector<std::vector<double>>;
    Rows unit(s, std::vector<double>(s, 0.0));
    for (std::size_t i = 0; i < s; ++i) unit[i][i] = 1;
    std::vector<double> m(s * s);
    const std::function<void(const Rows&, std::size_t, int)> descend = [&](const Rows& rows, std::size_t node,
                                                                           int level) {
      if (node >= s) return;
      if (leaf_[node] == level) {
        for (std::size_t i = 0; i < rows.size(); ++i) {
          const auto to = static_cast<std::size_t>(order_.place(static_cast<std::int64_t>(node + (i << level))));
          std::copy(rows[i].begin(), rows[i].end(), m.begin() + static_cast<std::ptrdiff_t>(to * s));
        }
        return;
      }
      Rows low, high;
      for (std::size_t i = 0; i + 1 < rows.size(); i += 2) {
        low.emplace_back(s);
        high.emplace_back(s);
        for (std::size_t j = 0; j < s; ++j) {
          low.back()[j] = (rows[i][j] + rows[i + 1][j]) / std::numbers::sqrt2;
          high.back()[j] = (rows[i][j] - rows[i + 1][j]) / std::numbers::sqrt2;
        }
      }
      if (rows.size() % 2 == 1) low.push_back(rows.back());
      descend(low, node, level + 1);
      descend(high, node + (std::size_t{1} << level), level + 1);
    };
    descend(unit, 0, 0);
    return m;
  }

  std::int64_t block_tokens() const { return std::int64_t{1} << std::max(depth_, 4); }
  std::int64_t blocks() const override { return (tokens() + block_tokens() - 1) / block_tokens(); }
  std::int64_t block_begin(std::int64_t block) const override { return std::min(block * block_tokens(), tokens()); }
  std::int64_t output_row(std::int64_t token) const override { return order_.place(token); }
  void forward_block(std::int64_t block, ConstMatrixView x, MatrixView t) const override {
    copy_rows_padded(x, t);
    for (int level = 0; level < depth_; ++level) split(t, level, block_begin(block), simd::padded(t.cols));
  }
  void inverse_block(std::int64_t block, MatrixView t, MatrixView out, bool stream) const override {
    const MatrixView rows{t.data, out.rows, out.cols, t.stride};
    for (int level = depth_; level-- > 0;) split(rows, level, block_begin(block), simd::padded(out.cols));
    copy_rows_out(rows, out, stream);
  }

 private:
  void split(MatrixView x, int level, std::int64_t first, std::int64_t cols) const {
    split_level(x, level, cols, [&](std::int64_t q) { return leaf_[static_cast<std::size_t>(first + q)] > level; });
  }
  std::vector<std::uint8_t> leaf_;
  RowOrder order_;
  int depth_ = 0;
};

}  // namespace

PacketEnergies::PacketEnergies(std::int64_t tokens, int depth) : tokens_(tokens), depth_(depth) {
  if (tokens < 1 || depth < 0 || depth > haar_full_depth(tokens))
    throw std::logic_error("packet energies: " + std::to_string(depth) + " levels of " + std::to_string(tokens) +
                           " tokens");
  sums_.assign(static_cast<std::size_t>(depth) + 1, std::vector<double>(static_cast<std::size_t>(tokens), 0.0));
}

void PacketEnergies::add(ConstMatrixView x) {
  if (x.rows != tokens_)
    throw std::logic_error("packet energies of " + std::to_string(tokens_) + " tokens, a sample has " +
                           std::to_string(x.rows));
  std::vector<float> copy(static_cast<std::size_t>(x.rows * x.cols));
  const MatrixView t{copy.data(), x.rows, x.cols, x.cols};
  for (std::int64_t q = 0; q < x.rows; ++q) std::copy_n(x.row(q), x.cols, t.row(q));
  for (int level = 0;; ++level) {
#pragma omp parallel for if (x.rows * x.cols > 16384)
    for (std::int64_t q = 0; q < x.rows; ++q) {
      double sum = 0;
      for (std::int64_t c = 0; c < x.cols; ++c)
        sum += static_cast<double>(t.row(q)[c]) * static_cast<double>(t.row(q)[c]);
      sums_[static_cast<std::size_t>(level)][static_cast<std::size_t>(q)] += sum;
    }
    if (level == depth_) break;
    split_level(t, level, x.cols, [](std::int64_t) { return true; });
  }
  ++samples_;
}

std::vector<double> PacketEnergies::level(int level) const {
  std::vector<double> mean = sums_.at(static_cast<std::size_t>(level));
  for (double& e : mean) e /= static_cast<double>(std::max<std::int64_t>(samples_, 1));
  return mean;
}

PacketBasis best_packets(const PacketEnergies& energies, const std::function<double(double)>& cost) {
  PacketBasis basis = empty_basis(energies);
  const int depth = energies.depth();
  // best[node] of the level below, from the leaves up; split[level][node] is the decision.
  std::vector<double> below;
  std::vector<std::vector<bool>> split(static_cast<std::size_t>(depth) + 1);
  for (int level = depth; level >= 0; --level) {
    const std::vector<double> rows = energies.level(level);
    const auto nodes = std::min(std::size_t{1} << level, rows.size());
    std::vector<double> here(nodes, 0.0);
    for (std::size_t q = 0; q < rows.size(); ++q) here[q & ((std::size_t{1} << level) - 1)] += cost(rows[q]);
    split[static_cast<std::size_t>(level)].assign(nodes, false);
    for (std::size_t node = 0; node < nodes && level < depth; ++node) {
      const std::size_t other = node + nodes;
      const double halves = below[node] + (other < below.size() ? below[other] : 0.0);
      if (!(halves < here[node])) continue;
      here[node] = halves;
      split[static_cast<std::size_t>(level)][node] = true;
    }
    below = std::move(here);
  }
  const std::function<void(int, std::size_t)> descend = [&](int level, std::size_t node) {
    if (node >= basis.leaf.size()) return;
    if (level < depth && split[static_cast<std::size_t>(level)][node]) {
      descend(level + 1, node);
      descend(level + 1, node + (std::size_t{1} << level));
    } else {
      mark(basis, level, static_cast<std::int64_t>(node));
    }
  };
  descend(0, 0);
  basis.cost = below[0];
  order_rows(basis, energies);
  return basis;
}

PacketBasis best_packets_by_log(const PacketEnergies& energies) {
  double largest = 0;
  for (int level = 0; level <= energies.depth(); ++level)
    for (const double e : energies.level(level)) largest = std::max(largest, e);
  const double least = largest > 0 ? largest * 1e-12 : 1;
  return best_packets(energies, [least](double e) { return std::log2(std::max(e, least)); });
}

PacketBasis best_packets_for_two_levels(const PacketEnergies& energies, std::int64_t high_tokens, double low_bits,
                                        double high_bits) {
  PacketBasis basis = empty_basis(energies);
  if (high_tokens < 0 || low_bits < 1 || high_bits < low_bits)
    throw std::logic_error("best packets: " + std::to_string(high_tokens) + " rows at more than the other bits");
  const auto inverse2 = [](double bits) { return 1 / std::pow(std::round(std::exp2(bits)) - 1, 2); };
  const double low = inverse2(low_bits), high = inverse2(high_bits);
  const int depth = energies.depth();
  std::vector<std::vector<Curve>> curves(static_cast<std::size_t>(depth) + 1);
  for (int level = depth; level >= 0; --level) {
    const std::vector<double> rows = energies.level(level);
    const std::int64_t nodes = std::min(std::int64_t{1} << level, energies.tokens());
    auto& here = curves[static_cast<std::size_t>(level)];
    for (std::int64_t node = 0; node < nodes; ++node) {
      here.push_back(leaf_curve(node_energies(rows, level, node), high_tokens, low, high));
      if (level == depth) continue;
      const auto& below = curves[static_cast<std::size_t>(level) + 1];
      const auto other = static_cast<std::size_t>(node + nodes);
      if (other < below.size()) consider_split(here.back(), below[static_cast<std::size_t>(node)], below[other]);
    }
  }
  const std::function<void(int, std::size_t, std::size_t)> descend = [&](int level, std::size_t node, std::size_t k) {
    const Curve& curve = curves[static_cast<std::size_t>(level)][node];
    if (!curve.split[k]) return mark(basis, level, static_cast<std::int64_t>(node));
    const auto first = static_cast<std::size_t>(curve.low_half[k]);
    descend(level + 1, node, first);
    descend(level + 1, node + (std::size_t{1} << level), k - first);
  };
  const std::vector<double>& root = curves[0][0].cost;
  descend(0, 0, root.size() - 1);
  basis.cost = root.back();
  order_rows(basis, energies);
  return basis;
}

std::vector<float> floats_of(const PacketBasis& basis) {
  std::vector<float> values(basis.leaf.begin(), basis.leaf.end());
  for (const std::int64_t p : basis.place) values.push_back(static_cast<float>(p));
  return values;
}

PacketBasis packet_basis_of(std::span<const float> values, std::int64_t tokens) {
  const auto s = static_cast<std::size_t>(tokens);
  const auto refuse = [](const std::string& why) {
    return TrialError("refused", "sequence transform haar_packets: " + why);
  };
  if (values.size() != 2 * s)
    throw refuse("the calibrated basis has " + std::to_string(values.size()) + " values, " + std::to_string(tokens) +
                 " tokens need " + std::to_string(2 * s));
  PacketBasis basis;
  std::vector<bool> taken(s, false);
  const std::int64_t most = haar_full_depth(tokens);
  for (std::size_t q = 0; q < s; ++q) {
    const float leaf = values[q], place = values[s + q];
    if (!(leaf >= 0 && leaf <= static_cast<float>(most) && leaf == std::floor(leaf)))
      throw refuse("row " + std::to_string(q) + " of the calibrated basis has no level from 0 to " +
                   std::to_string(most));
    if (!(place >= 0 && place < static_cast<float>(s) && place == std::floor(place)) ||
        taken[static_cast<std::size_t>(place)])
      throw refuse("the places of the calibrated basis are not every row once");
    taken[static_cast<std::size_t>(place)] = true;
    basis.leaf.push_back(static_cast<std::uint8_t>(leaf));
    basis.place.push_back(static_cast<std::int64_t>(place));
  }
  // From the root on, a row's node is a leaf as soon as the node's first row says so.
  for (std::size_t q = 0; q < s; ++q) {
    std::size_t level = 0;
    while (level < basis.leaf[q] && basis.leaf[q & ((std::size_t{1} << level) - 1)] != level) ++level;
    if (level != basis.leaf[q] || basis.leaf[q & ((std::size_t{1} << level) - 1)] != level)
      throw refuse("the levels of the calibrated basis are not those of a tree");
  }
  return basis;
}

std::unique_ptr<SequenceTransform> haar_packets(const PacketBasis& basis) {
  return std::make_unique<HaarPackets>(basis);
}

namespace {

bool automatic_levels(const Json& options) {
  const auto found = options.find("levels");
  return found == options.end() || found->is_null();
}

// Does the basis make the bound of the two-level rule least? Options are complete in a trial; none means the default.
bool for_two_levels(const Json& options) {
  return !options.contains("cost") || text_option(options, "cost") == "two_level";
}

std::string refuse_depth(const Json& options, std::int64_t tokens) {
  if (automatic_levels(options)) return "";
  const std::int64_t levels = integer_option(options, "levels"), most = haar_full_depth(tokens);
  if (levels <= most) return "";
  return std::to_string(tokens) + " tokens have at most " + std::to_string(most) + " Haar levels, levels is " +
         std::to_string(levels);
}

int depth_of(const BasisRequest& r) {
  if (const std::string why = refuse_depth(r.options, r.tokens); !why.empty())
    throw TrialError("refused", "sequence transform haar_packets: " + why);
  return static_cast<int>(automatic_levels(r.options) ? haar_auto_levels(r.tokens, r.high_tokens)
                                                      : integer_option(r.options, "levels"));
}

class PacketMeasure final : public BasisMeasure {
 public:
  explicit PacketMeasure(const BasisRequest& r) : request_(r), energies_(r.tokens, depth_of(r)) {}
  void add(ConstMatrixView x) override { energies_.add(x); }
  std::vector<float> basis() override {
    if (!for_two_levels(request_.options)) return floats_of(best_packets_by_log(energies_));
    // Rows below one bit become zero, and Theorem 1 has nothing to say of them: they count as one bit.
    const double low = std::max(request_.low_bits, 1.0), high = std::max(request_.high_bits, low);
    // Where the allocation has no high rows, the published number, as for the levels.
    const std::int64_t k =
        std::min<std::int64_t>(request_.high_tokens > 0 ? request_.high_tokens : published_high_rows, request_.tokens);
    return floats_of(best_packets_for_two_levels(energies_, k, low, high));
  }

 private:
  BasisRequest request_;
  PacketEnergies energies_;
};

Json depends_of_packets(const BasisRequest& r) {
  Json all = {{"transform", "haar_packets"}, {"options", r.options}};
  const bool bits = for_two_levels(r.options);
  if (bits || automatic_levels(r.options)) all["high_tokens"] = r.high_tokens;
  if (bits) {
    all["low_bits"] = r.low_bits;
    all["high_bits"] = r.high_bits;
  }
  return all;
}

}  // namespace

BasisPlugin haar_packets_basis() {
  BasisPlugin plugin;
  plugin.transform = "haar_packets";
  plugin.floats = [](std::int64_t tokens) { return 2 * static_cast<std::size_t>(tokens); };
  plugin.sum_bytes = [](const BasisRequest& r) {
    return static_cast<std::uint64_t>(r.tokens) * static_cast<std::uint64_t>(depth_of(r) + 1) * sizeof(double);
  };
  plugin.depends = depends_of_packets;
  plugin.start = [](const BasisRequest& r) -> std::unique_ptr<BasisMeasure> {
    return std::make_unique<PacketMeasure>(r);
  };
  return plugin;
}

SequenceTransformPlugin haar_packets_plugin() {
  PluginInfo info;
  info.name = "haar_packets";
  info.summary = "Haar wavelet packets, the basis of every slot chosen from calibrated energies; most energetic first";
  info.source = "R. R. Coifman, M. V. Wickerhauser, 1992; specification methods 2.6 for the cost";
  info.cost =
      "O(s d J): at most 2 s d J flops forward, the same back (J levels); row energies of the tree from calibration";
  info.needs_calibration = true;
  OptionInfo levels =
      option::any("levels", OptionInfo::Type::integer, nullptr,
                  "depth of the tree; auto = floor(log2(s / k)), as of haar, k = 64 where the allocation "
                  "names no high_tokens");
  levels.min = 0;
  levels.max = 62;
  info.options = {
      levels,
      option::choice("cost", "two_level", {"two_level", "log_energy"},
                     "what the basis makes least: the bound of the two-level rule with k high rows, or the sum of log "
                     "energies")};
  info.refuse = [](const PlanFacts& facts) -> std::string {
    if (facts.any_length) return "its basis is of one length and zero-shot questions have any; use haar or dct";
    if (facts.calibration_samples < 1) return "it needs calibration samples (calibration.samples is 0)";
    // On a grid whose size is not known yet this is decided where it is.
    return facts.tokens > 0 ? refuse_depth(facts.options, facts.tokens) : "";
  };
  return {info, [](const SequenceTransformRequest& r) {
            return haar_packets(
                packet_basis_of(r.basis ? std::span<const float>(*r.basis) : std::span<const float>(), r.tokens));
          }};
}

}  // namespace stamp
