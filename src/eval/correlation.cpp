#include "eval/correlation.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/error.h"
#include "config/spec.h"
#include "eval/interval.h"
#include "images/png.h"
#include "models/network.h"
#include "results/record.h"

namespace stamp {

std::vector<double> mean_by_lag(std::span<const float> cosines, std::int64_t n) {
  std::vector<double> means(static_cast<std::size_t>(n), 0);
  for (std::int64_t t = 0; t < n; ++t)
    for (std::int64_t u = t; u < n; ++u)
      means[static_cast<std::size_t>(u - t)] += static_cast<double>(cosines[static_cast<std::size_t>(t * n + u)]);
  for (std::int64_t lag = 0; lag < n; ++lag) means[static_cast<std::size_t>(lag)] /= static_cast<double>(n - lag);
  return means;
}

std::vector<double> shrink_square(std::span<const float> matrix, std::int64_t n, std::int64_t side) {
  const std::int64_t square = (n + side - 1) / side, out = n / square;
  std::vector<double> means(static_cast<std::size_t>(out * out), 0);
  for (std::int64_t t = 0; t < out * square; ++t)
    for (std::int64_t u = 0; u < out * square; ++u)
      means[static_cast<std::size_t>(t / square * out + u / square)] +=
          static_cast<double>(matrix[static_cast<std::size_t>(t * n + u)]);
  for (double& mean : means) mean /= static_cast<double>(square * square);
  return means;
}

namespace {

constexpr std::size_t kBlocks = 8;
constexpr std::int64_t kPictureSide = 256;
constexpr std::int64_t kLags[] = {1, 4, 16, 64, 256};

// "layers.3.mlp.down_proj.input" -> "mlp.down_proj": what slots of one kind share in all blocks.
std::string kind_of(const SlotInfo& info) {
  std::string kind;
  for (std::size_t from = 0; from <= info.name.size();) {
    const std::size_t dot = std::min(info.name.find('.', from), info.name.size());
    const std::string part = info.name.substr(from, dot - from);
    const bool number =
        !part.empty() && std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (number)
      kind.clear();  // and with it the name of the list of blocks
    else if (part != "input")
      kind += (kind.empty() ? "" : ".") + part;
    from = dot + 1;
  }
  return kind.empty() ? info.name : kind;
}

std::set<int> chosen_layers(Network& network) {
  std::set<int> all, chosen;
  for (const LinearSite* site : network.linear_sites()) all.insert(site->info().layer);
  const std::vector<int> layers(all.begin(), all.end());
  const std::size_t count = std::min(kBlocks, layers.size());
  for (std::size_t i = 0; i < count; ++i) chosen.insert(layers[count == 1 ? 0 : i * (layers.size() - 1) / (count - 1)]);
  return chosen;
}

class CorrelationEvaluator : public Evaluator {
 public:
  explicit CorrelationEvaluator(EvaluatorContext context) : context_(std::move(context)) {
    if (!context_.spec) throw std::logic_error("correlation needs the trial's settings");
  }

  bool runs_itself() const override { return true; }
  bool has_reference() const override { return false; }
  void observe(const WorkItem&, const Outputs&) override {}

  void run(Network& network, const WorkItem& item) override {
    const std::set<int> layers = chosen_layers(network);
    std::vector<LinearSite*> watched;
    std::vector<double> of_item(std::size(kLags), 0);
    std::int64_t slots = 0;
    for (LinearSite* site : network.linear_sites()) {
      if (!layers.contains(site->info().layer) || site->info().rows == SlotRows::context) continue;
      watched.push_back(site);
      site->set_observer([&, this](const SlotInfo& info, ConstMatrixView x) { add(info, x, of_item, slots); });
    }
    // The observers refer to this call: they must not outlive it, whatever happens in the pass.
    try {
      network.run(item);
    } catch (...) {
      for (LinearSite* site : watched) site->set_observer({});
      throw;
    }
    for (LinearSite* site : watched) site->set_observer({});
    if (slots == 0) throw TrialError("unsupported", "correlation found no linear input to look at");
    for (std::size_t i = 0; i < of_item.size(); ++i) items_[i].push_back(of_item[i] / static_cast<double>(slots));
  }

  std::vector<Metric> finish(const std::vector<SlotResult>&) override {
    keep();
    std::vector<Metric> metrics;
    for (std::size_t i = 0; i < std::size(kLags); ++i) {
      if (items_[i].empty() || !std::isfinite(mean_of(items_[i]))) continue;
      Metric m;
      m.name = fmt::format("token_correlation_{}", kLags[i]);
      m.value = mean_of(items_[i]);
      m.over = context_.items;
      m.n = static_cast<std::int64_t>(items_[i].size());
      m.protocol = context_.protocol;
      m.lower_is_better = false;
      m.items = items_[i];
      if (const auto interval = mean_interval(items_[i])) {
        m.low = interval->low;
        m.high = interval->high;
      }
      metrics.push_back(m);
    }
    return metrics;
  }

 private:
  struct Kind {
    std::vector<double> by_lag, picture;
    std::int64_t slots = 0;
  };

  void add(const SlotInfo& info, ConstMatrixView x, std::vector<double>& of_item, std::int64_t& slots) {
    const std::int64_t skip = context_.spec->quantization.sequence.skip_first, n = x.rows - skip;
    if (n < 2) throw TrialError("unsupported", "correlation needs at least two tokens behind skip_first");
    // The sink token is left out as the transforms leave it out.
    at::Tensor rows = at::from_blob(const_cast<float*>(x.row(skip)), {n, x.cols}, {x.stride, 1}, at::kFloat);
    rows = rows.div(rows.norm(2, {1}, true).clamp_min(1e-30));
    const at::Tensor cosines = rows.matmul(rows.t()).contiguous();
    const std::span<const float> values(cosines.const_data_ptr<float>(), static_cast<std::size_t>(n * n));
    Kind& kind = kinds_[kind_of(info)];
    const std::vector<double> lags = mean_by_lag(values, n);
    accumulate(kind.by_lag, lags, info);
    accumulate(kind.picture, shrink_square(values, n, kPictureSide), info);
    for (std::size_t i = 0; i < std::size(kLags); ++i)
      of_item[i] += kLags[i] < n ? lags[static_cast<std::size_t>(kLags[i])] : std::nan("");
    ++kind.slots;
    ++slots;
  }

  static void accumulate(std::vector<double>& sums, const std::vector<double>& values, const SlotInfo& info) {
    if (sums.empty()) sums.resize(values.size(), 0);
    if (sums.size() != values.size())
      throw TrialError("unsupported", "correlation needs windows of one length; " + info.name + " saw others");
    for (std::size_t i = 0; i < values.size(); ++i) sums[i] += values[i];
  }

  void keep() const {
    if (!context_.keep_file || kinds_.empty()) return;
    std::string table = "kind,slots,lag,cosine\n";
    for (const auto& [name, kind] : kinds_) {
      const double slots = static_cast<double>(kind.slots);
      for (std::size_t lag = 0; lag < kind.by_lag.size(); ++lag)
        table += fmt::format("{},{},{},{:.6g}\n", name, kind.slots, lag, kind.by_lag[lag] / slots);
      const auto side = static_cast<std::int64_t>(std::llround(std::sqrt(static_cast<double>(kind.picture.size()))));
      ByteImage image(side, side);
      // White 1, black 0 or below.
      for (std::size_t i = 0; i < kind.picture.size(); ++i) {
        const auto grey = static_cast<std::uint8_t>(std::lround(255 * std::clamp(kind.picture[i] / slots, 0.0, 1.0)));
        for (std::size_t c = 0; c < 3; ++c) image.bytes[3 * i + c] = grey;
      }
      context_.keep_file("correlation_" + name + ".png", encode_png(image));
    }
    context_.keep_file("correlation.csv", table);
  }

  EvaluatorContext context_;
  std::map<std::string, Kind> kinds_;
  std::vector<double> items_[std::size(kLags)];
};

}  // namespace

std::unique_ptr<Evaluator> Correlation::make(const EvaluatorContext& context) {
  return std::make_unique<CorrelationEvaluator>(context);
}

}  // namespace stamp
