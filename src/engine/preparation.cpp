#include "engine/preparation.h"

#include <ATen/core/Tensor.h>

#include "base/error.h"
#include "engine/keys.h"
#include "models/tensors.h"

namespace stamp {

Preparation::Preparation(Network& network, const PreparationRequest& request, Monitor& monitor)
    : network_(network), request_(request), monitor_(monitor) {
  const QuantizationSpec& q = request_.spec->quantization;
  context_.options = q.method_options;
  context_.quantization = q;
  context_.seed = method_seed(*request_.spec);
  context_.warn = request_.warn;
  context_.calibration = request_.calibration;
  context_.store = request_.store;
  context_.step = [this](std::int64_t done, std::int64_t total) { monitor_.step(done, total); };
  context_.record_training = [this](Json entry) { training_.push_back(std::move(entry)); };
  context_.channel_maxima = [this](const std::string& slot) {
    const ChannelMaxima& maxima = request_.maxima ? *request_.maxima : measured_;
    const auto found = maxima.find(slot);
    if (found == maxima.end()) throw TrialError("calibration", "no channel maxima were measured for slot " + slot);
    return found->second;
  };
  context_.block_input = [this](std::int64_t item) { return full_precision_.at(static_cast<std::size_t>(item)); };

  if (follows_full_precision()) enter_full_precision();
  run_ = request_.method->make()->start(network_, context_);
  if (request_.weights) {
    quantizer_ = request_.weights->make();
    if (request_.weights->info.needs_calibration)
      for (std::int64_t i = 0; i < request_.calibration->count(); ++i)
        states_.push_back({network_.enter(request_.calibration->item(i)), {}});
  }
}

Preparation::~Preparation() = default;

bool Preparation::follows_full_precision() const {
  return request_.method->info.needs_block_inputs || (request_.method->info.needs_calibration && !request_.maxima);
}

// Before the method changes what the rows come from.
void Preparation::enter_full_precision() {
  for (std::int64_t i = 0; i < request_.calibration->count(); ++i)
    full_precision_.push_back(network_.enter(request_.calibration->item(i)));
}

// The untouched block: where its rows go next, and the maxima of its slots where a pass before did not measure them.
void Preparation::measure_block(std::size_t index) {
  measured_.clear();
  std::vector<Slot*> watched;
  if (request_.method->info.needs_calibration && !request_.maxima)
    for (LinearSite* site : network_.block_sites(index)) watched.push_back(site);
  const ChannelMaximaObserver observer(watched, measured_);
  next_.clear();
  for (std::int64_t i = 0; i < request_.calibration->count(); ++i) {
    at::Tensor rows = contiguous_copy(full_precision_[static_cast<std::size_t>(i)]);
    network_.forward(index, rows, request_.calibration->item(i));
    next_.push_back(std::move(rows));
  }
}

void Preparation::block(std::size_t index) {
  const auto blocks = static_cast<std::int64_t>(network_.blocks());
  monitor_.step(static_cast<std::int64_t>(index), blocks);
  if (follows_full_precision()) measure_block(index);
  run_->block(index);
  if (quantizer_) {
    WeightContext w;
    w.spec = request_.spec->quantization.weights;
    w.warn = request_.warn;
    if (!states_.empty()) {
      w.calibration = request_.calibration;
      w.states = &states_;
    }
    quantizer_->quantize(network_, index, w);
  }
  network_.pack(index);
  std::swap(full_precision_, next_);
  monitor_.step(static_cast<std::int64_t>(index) + 1, blocks);
}

void Preparation::finish() {
  network_.pack_ends();
}

}  // namespace stamp
