#include "weights/gptq.h"

#include <set>
#include <stdexcept>

#include "base/error.h"
#include "base/text.h"
#include "models/network.h"
#include "models/tensors.h"
#include "weights/gptq_core.h"
#include "weights/gptq_gram.h"
#include "weights/weight_grid.h"

namespace stamp {
namespace {

GptqSettings settings_of(const WeightSpec& spec) {
  GptqSettings s;
  s.grid = weight_grid(spec);
  s.act_order = flag_option(spec.options, "act_order");
  s.static_groups = flag_option(spec.options, "static_groups");
  s.percdamp = real_option(spec.options, "percdamp");
  s.block_size = integer_option(spec.options, "block_size");
  s.damping_retries = integer_option(spec.options, "damping_retries");
  return s;
}

std::string count(std::size_t n, const char* what) {
  return std::to_string(n) + " " + what + (n == 1 ? "" : "s");
}

// One block and the calibration items on their way through it.
class Walk {
 public:
  Walk(Network& network, std::size_t block, const WeightContext& context)
      : network_(network),
        block_(block),
        context_(context),
        settings_(settings_of(context.spec)),
        sites_(network.block_sites(block)),
        states_(*context.states) {
    for (std::int64_t i = 0; i < context.calibration->count(); ++i) items_.push_back(context.calibration->item(i));
    if (items_.empty() || items_.size() != states_.size())
      throw std::logic_error("gptq: one state for every calibration item is needed");
  }

  void warn_once() const {
    if (block_ != 0) return;
    if (settings_.static_groups && settings_.grid.group == 0)
      warn("static_groups changes nothing with one scale an output channel");
    std::int64_t tokens = 0;
    for (const BlockState& state : states_) tokens += state.residual.size(0);
    std::set<std::int64_t> short_of;
    for (const LinearSite* site : sites_)
      if (tokens < site->info().features) short_of.insert(site->info().features);
    for (const std::int64_t d : short_of)
      warn(std::to_string(tokens) + " calibration tokens for linear layers of " + std::to_string(d) +
           " inputs: their Hessians are singular, and damping decides what calibration does not");
  }

  // Each site after the ones before it in the block were quantized.
  void sequential() {
    for (std::size_t k = 0; k < sites_.size(); ++k) {
      GramMatrix gram(sites_[k]->info().features);
      for (std::size_t i = 0; i < items_.size(); ++i) {
        network_.step(block_, k, states_[i], items_[i]);
        gram.add(const_view(sites_[k]->input(states_[i].pending)));
      }
      quantize(*sites_[k], std::move(gram));
      if (context_.step) context_.step(static_cast<std::int64_t>(k) + 1, static_cast<std::int64_t>(sites_.size()));
    }
    for (std::size_t i = 0; i < items_.size(); ++i) network_.step(block_, sites_.size(), states_[i], items_[i]);
  }

  // All sites on the inputs of the block as it was; then once more through the quantized block.
  void at_once() {
    std::vector<GramMatrix> grams;
    for (const LinearSite* site : sites_) grams.emplace_back(site->info().features);
    for (std::size_t i = 0; i < items_.size(); ++i) {
      BlockState state;
      state.residual = contiguous_copy(states_[i].residual);
      for (std::size_t k = 0; k < sites_.size(); ++k) {
        network_.step(block_, k, state, items_[i]);
        grams[k].add(const_view(sites_[k]->input(state.pending)));
      }
    }
    for (std::size_t k = 0; k < sites_.size(); ++k) {
      quantize(*sites_[k], std::move(grams[k]));
      if (context_.step) context_.step(static_cast<std::int64_t>(k) + 1, static_cast<std::int64_t>(sites_.size()));
    }
    for (std::size_t i = 0; i < items_.size(); ++i) network_.forward(block_, states_[i].residual, items_[i]);
  }

 private:
  void warn(const std::string& text) const {
    if (context_.warn) context_.warn("gptq: " + text);
  }

  // The site is packed at once: the items run through it next, and plain weights are slower.
  void quantize(LinearSite& site, GramMatrix gram) {
    const std::string& name = site.info().name;
    try {
      const GptqFactor factor = gptq_factor(gram.take(2.0 / static_cast<double>(items_.size())), settings_);
      if (factor.retries > 0)
        warn(name + ": the Hessian had no Cholesky factor; damping was raised from " + number_text(settings_.percdamp) +
             " to " + number_text(factor.damping) + " in " + count(static_cast<std::size_t>(factor.retries), "step"));
      if (!factor.dead.empty())
        warn(name + ": " + count(factor.dead.size(), "input channel") + " of " + std::to_string(factor.order.size()) +
             " zero in all of the calibration, weights set to zero");
      std::vector<MatrixView> weights;
      for (LinearWeight& linear : site.weights()) {
        linear.weight = linear.weight.contiguous();
        weights.push_back(view(linear.weight));
      }
      gptq_quantize(weights, factor, settings_);
    } catch (const TrialError& error) {
      throw TrialError(error.kind(), "gptq: " + name + ": " + error.what());
    }
    site.pack();
  }

  Network& network_;
  std::size_t block_;
  const WeightContext& context_;
  GptqSettings settings_;
  std::vector<LinearSite*> sites_;
  std::vector<BlockState>& states_;
  std::vector<WorkItem> items_;
};

class Gptq : public WeightQuantizer {
 public:
  void quantize(Network& network, std::size_t block, const WeightContext& context) const override {
    if (!context.calibration || !context.states) throw std::logic_error("gptq: calibration items are needed");
    Walk walk(network, block, context);
    walk.warn_once();
    if (flag_option(context.spec.options, "true_sequential"))
      walk.sequential();
    else
      walk.at_once();
  }
};

}  // namespace

std::unique_ptr<WeightQuantizer> WeightGptq::make() {
  return std::make_unique<Gptq>();
}

}  // namespace stamp
