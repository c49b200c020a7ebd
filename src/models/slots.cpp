// Slots: where a network observes, transforms and quantizes its activations.
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>

#include <algorithm>
#include <stdexcept>

#include "base/error.h"
#include "models/column_sums.h"
#include "models/linear.h"
#include "models/network.h"
#include "models/tensors.h"

namespace stamp {

Segments whole_sequence(std::int64_t rows) {
  Segment all;
  all.rows = rows;
  return {all};
}

const RowRule& RowRules::of(std::int64_t tokens, std::int64_t width) {
  const std::pair key(tokens, width);
  const auto found = made_.find(key);
  return found != made_.end() ? found->second : made_.emplace(key, make_(tokens, width)).first->second;
}

void QuantizedBits::add(const RowRule& rule, std::int64_t rows, std::int64_t features) {
  const double n = static_cast<double>(rows) * static_cast<double>(features);
  bits += n * rule.bits.average();
  values += n;
}

std::shared_ptr<Workload> Model::images(const ImageSpec&, const CalibrationSpec*) const {
  throw TrialError("unsupported", "this model makes no images; evaluate metrics of text windows");
}

std::unique_ptr<Workload> Model::questions(const ZeroShotSpec&, const std::string& task) const {
  throw TrialError("unsupported", "this model answers no zero-shot task (" + task + ")");
}

void Slot::pass(MatrixView x, const Segments& segments) {
  if (observer_) observer_(info_, x);
  if (!quantizer_) return;
  const SlotQuantizer& q = *quantizer_;
  std::int64_t first = 0;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const bool transformed = segments[i].transformed;
    std::int64_t count = segments[i].rows;
    // Rows that come one by one are independent: neighbours take one call instead of one for every few rows.
    while (!transformed && i + 1 < segments.size() && !segments[i + 1].transformed) count += segments[++i].rows;
    RowRules* rules = transformed ? q.whole.get() : q.decode.get();
    if (!rules) throw std::logic_error(info_.name + ": no rule for rows that come one by one was installed");
    const RowRule& rule = rules->of(count, transformed ? segments[i].width : 0);
    if (rule.transform->tokens() != count)
      throw TrialError("tokens", info_.name + ": the sequence transform covers " +
                                     std::to_string(rule.transform->tokens()) + " tokens, the sample has " +
                                     std::to_string(count));
    const MatrixView rows{x.row(first), count, x.cols, x.stride};
    quantize_sequence(rows, *rule.transform, rule.bits, q.grid, rows, q.statistics, *q.workspace);
    if (q.quantized) q.quantized->add(rule, count, x.cols);
    first += count;
  }
}

void LinearSite::pack() {
  if (packed()) return;
  for (LinearWeight& w : weights_) {
    packed_.push_back(pack_weight(w.weight));
    w.weight.reset();
  }
}

void LinearSite::release() {
  packed_.clear();
  for (LinearWeight& w : weights_) {
    w.weight.reset();
    w.bias.reset();
  }
  low_rank_.reset();
}

bool LinearSite::fold_input_scale(std::span<const double> factors) {
  if (!input_scale) return false;
  if (input_scale->numel() != static_cast<std::int64_t>(factors.size()))
    throw std::logic_error(info_.name + ": as many factors as input features are needed");
  float* scale = input_scale->data_ptr<float>();
  for (std::size_t j = 0; j < factors.size(); ++j)
    scale[j] = static_cast<float>(static_cast<double>(scale[j]) / factors[j]);
  return true;
}

void LinearSite::set_low_rank(std::shared_ptr<const LowRankBranch> branch) {
  if (branch) {
    bool fits = branch->up.size() == weights_.size() && branch->down.dim() == 2;
    for (std::size_t i = 0; fits && i < weights_.size(); ++i) {
      const at::Tensor& w = weights_[i].weight;
      fits = w.defined() && branch->down.size(1) == w.size(1) && branch->up[i].size(0) == w.size(0) &&
             branch->up[i].size(1) == branch->down.size(0);
    }
    if (!fits) throw std::logic_error(info_.name + ": a low-rank branch of other shapes than the weights");
  }
  low_rank_ = std::move(branch);
}

at::Tensor LinearSite::branch_rows(const at::Tensor& x) const {
  return low_rank_ ? linear(x, low_rank_->down, {}) : at::Tensor();
}

namespace {

// Of each segment's rows behind the skipped ones; empty where nothing is taken off.
std::vector<std::vector<float>> means_of(ConstMatrixView x, const Segments& segments, std::int64_t skipped) {
  std::vector<std::vector<float>> means(segments.size());
  std::int64_t first = 0;
  for (std::size_t k = 0; k < segments.size(); first += segments[k].rows, ++k) {
    // A grid has no first token that others attend to, as for transforms.
    const std::int64_t skip = segments[k].width > 0 ? 0 : skipped, rows = segments[k].rows - skip;
    // A row that comes alone is its own mean: taken off, nothing would be left to quantize.
    if (!segments[k].transformed || rows < 2) continue;
    std::vector<double> sum;
    add_rows(x, first + skip, rows, sum);
    for (const double s : sum) means[k].push_back(static_cast<float>(s / static_cast<double>(rows)));
  }
  return means;
}

// ||X||^2
double energy_of(ConstMatrixView x) {
  double sum = 0;
  for (std::int64_t i = 0; i < x.rows; ++i)
    for (std::int64_t j = 0; j < x.cols; ++j)
      sum += static_cast<double>(x.row(i)[j]) * static_cast<double>(x.row(i)[j]);
  return sum;
}

}  // namespace

void LinearSite::pass_shifted(MatrixView x, const Segments& segments, const InputShift& shift) {
  if (shift.fixed && static_cast<std::int64_t>(shift.fixed->size()) != x.cols)
    throw std::logic_error(info_.name + ": a shift of another width than the input");
  std::vector<std::vector<float>> means;
  if (!shift.fixed) means = means_of(x, segments, shift.skip);
  const auto move = [&](MatrixView to, float sign) {
    std::int64_t row = 0;
    for (std::size_t k = 0; k < segments.size(); row += segments[k].rows, ++k) {
      const std::vector<float>& m = shift.fixed ? *shift.fixed : means[k];
      for (std::int64_t i = row; i < row + segments[k].rows && !m.empty(); ++i)
        for (std::int64_t j = 0; j < x.cols; ++j) to.row(i)[j] += sign * m[static_cast<std::size_t>(j)];
    }
  };
  if (!quantizer_) {
    // There and back again is not quite the same row: whoever only watches must leave it alone.
    std::vector<float> copy(static_cast<std::size_t>(x.rows * x.cols));
    const MatrixView watched{copy.data(), x.rows, x.cols, x.cols};
    for (std::int64_t i = 0; i < x.rows; ++i) std::copy(x.row(i), x.row(i) + x.cols, watched.row(i));
    move(watched, -1);
    observer_(info_, watched);
    return;
  }
  SlotStatistics* const statistics = centred_ ? nullptr : quantizer_->statistics;
  const double whole = statistics ? energy_of(x) : 0;
  move(x, -1);
  const double left = statistics ? energy_of(x) : 0;
  pass(x, segments);
  move(x, 1);
  // The signal is what the layer reads, not what of it is quantized. A method's own mean counts as the method's, like
  // the scales and rotations before it.
  if (statistics) statistics->signal += whole - left;
}

at::Tensor LinearSite::input(at::Tensor x) const {
  if (!online_) return x;
  if (!x.is_contiguous() || x.use_count() > 1) x = contiguous_copy(x);
  online_->apply(view(x));
  return x;
}

std::vector<at::Tensor> LinearSite::multiply(const at::Tensor& x) const {
  return multiply(x, branch_rows(x));
}

std::vector<at::Tensor> LinearSite::multiply(const at::Tensor& x, const at::Tensor& branch_rows) const {
  std::vector<at::Tensor> outputs;
  outputs.reserve(weights_.size());
  for (std::size_t i = 0; i < weights_.size(); ++i)
    outputs.push_back(linear(x, packed_.empty() ? weights_[i].weight : packed_[i], weights_[i].bias));
  if (branch_rows.defined())
    for (std::size_t i = 0; i < weights_.size(); ++i) outputs[i].add_(linear(branch_rows, low_rank_->up[i], {}));
  return outputs;
}

std::vector<at::Tensor> LinearSite::forward(at::Tensor x, const Segments& segments) {
  x = input(std::move(x));
  const at::Tensor branch = branch_rows(x);
  if (observer_ || quantizer_) {
    // The quantizer works in place: a tensor that somebody else still reads is copied first.
    if (!x.is_contiguous() || ((quantizer_ || centred_ || shift_) && x.use_count() > 1)) x = contiguous_copy(x);
    if (centred_)
      pass_shifted(view(x), segments, InputShift{});
    else if (shift_)
      pass_shifted(view(x), segments, *shift_);
    else
      pass(view(x), segments);
  }
  return multiply(x, branch);
}

namespace {
// s x (n * hd) as (s * n) x hd.
MatrixView by_head(at::Tensor& x, std::int64_t head_dim) {
  const MatrixView whole = view(x);
  return {whole.data, whole.rows * (whole.cols / head_dim), head_dim, head_dim};
}
}  // namespace

void CacheSite::rotate_keys(at::Tensor& k) const {
  if (rotation_) rotation_->apply(by_head(k, rotation_->size()));
}

void CacheSite::process(at::Tensor& k, const Segments& segments) {
  rotate_keys(k);
  pass(view(k), segments);
}

void CacheSite::rotate(at::Tensor& q) const {
  if (query_rotation_) query_rotation_->apply(by_head(q, query_rotation_->size()));
}

void Network::forward(std::size_t block, at::Tensor& rows, const WorkItem& item) {
  BlockState state;
  state.residual = std::move(rows);
  const std::size_t steps = block_sites(block).size();
  for (std::size_t k = 0; k <= steps; ++k) step(block, k, state, item);
  rows = std::move(state.residual);
}

void Network::leave_all(const Leaving& leaving) {
  for (std::int64_t i = 0; i < leaving.count; ++i) {
    const WorkItem item = leaving.item(i);
    leaving.take(item, leave(leaving.rows(i), item));
    leaving.rest(i);
  }
}

Outputs Network::run(const WorkItem& item) {
  at::Tensor rows = enter(item);
  for (std::size_t block = 0; block < blocks(); ++block) forward(block, rows, item);
  return leave(std::move(rows), item);
}

void Network::pack() {
  for (std::size_t block = 0; block < blocks(); ++block) pack(block);
  pack_ends();
}

}  // namespace stamp
