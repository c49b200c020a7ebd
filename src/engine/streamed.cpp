#include "engine/streamed.h"

#include <ATen/ops/from_blob.h>
#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>

#include "base/error.h"
#include "base/memory.h"
#include "engine/slot_bases.h"
#include "models/tensors.h"

namespace stamp {

// Once for the lengths, since a store is reserved as a whole; rows before the first block cost next to nothing.
void RowStream::enter(Network& network) {
  std::vector<std::int64_t> lengths;
  std::int64_t width = 0;
  for (std::int64_t i = 0; i < count(); ++i) {
    const at::Tensor first = network.enter(items_.item(i));
    lengths.push_back(first.size(0));
    width = first.size(1);
  }
  store_ = std::make_unique<HiddenRows>(lengths, width, budget_);
  for (std::int64_t i = 0; i < count(); ++i) {
    rows(i).copy_(network.enter(items_.item(i)));
    store_->rest(i);
  }
}

at::Tensor RowStream::rows(std::int64_t i) {
  const MatrixView m = store_->item(i);
  return at::from_blob(m.data, {m.rows, m.cols}, at::TensorOptions(at::kFloat));
}

void RowStream::forward(Network& network, std::size_t block) {
  for (std::int64_t i = 0; i < count(); ++i) {
    const at::Tensor stored = rows(i);
    at::Tensor x = stored;
    network.forward(block, x, items_.item(i));
    if (x.const_data_ptr() != stored.const_data_ptr()) stored.copy_(x);
    store_->rest(i);
  }
}

void RowStream::pass(Network& network, std::size_t block, std::int64_t i) {
  at::Tensor copy = contiguous_copy(rows(i));
  store_->rest(i);
  network.forward(block, copy, items_.item(i));
}

void RowStream::leave(Network& network, const std::function<void(const WorkItem&, const Outputs&)>& take) {
  Leaving leaving;
  leaving.count = count();
  leaving.item = [this](std::int64_t i) { return items_.item(i); };
  leaving.rows = [this](std::int64_t i) { return rows(i); };
  leaving.rest = [this](std::int64_t i) { store_->rest(i); };
  leaving.take = take;
  network.leave_all(leaving);
  store_.reset();
}

namespace {

struct QuantizedSums {
  QuantizedBits activations, caches;
  void add(const InstalledQuantizers& installed) {
    for (const auto& [to, from] :
         {std::pair(&activations, &installed.activations()), std::pair(&caches, &installed.caches())}) {
      to->bits += from->bits;
      to->values += from->values;
    }
  }
  PassBits average() const { return average_of(activations, caches); }
};

class Walk {
 public:
  Walk(const StreamedRequest& request, Monitor& monitor) : request_(request), monitor_(monitor) {
    for (const auto* list : {&request_.passes, &request_.reference})
      for (const Pass& pass : *list)
        if (!pass.whole || !pass.workload->single_run())
          throw TrialError(
              "unsupported",
              fmt::format("a metric of the trial {}, which needs all blocks at once; model.streamed: false, or leave "
                          "the metric out",
                          pass.whole ? "makes whole images step by step" : "decodes token by token"));
    for (const Pass& pass : request_.passes) quantized_.emplace_back(*pass.workload, request_.budget);
    for (const Pass& pass : request_.reference) references_.emplace_back(*pass.workload, request_.budget);
    measures_maxima_ = request_.method->info.needs_calibration && !request_.maxima;
    if (request_.maxima) maxima_ = *request_.maxima;
    if (measures_maxima_) untouched_.emplace(*request_.calibration, request_.budget);
    result_.passes.resize(request_.passes.size());
  }

  StreamedResult run() {
    start();
    const auto blocks = static_cast<std::int64_t>(result_.network->blocks());
    for (std::int64_t i = 0; i < blocks; ++i) {
      const auto block = static_cast<std::size_t>(i);
      monitor_.step(i, blocks);
      if (full_precision_) reference_block(block);
      prepare_block(block);
      calibrate_block(block);
      evaluate_block(block);
      result_.network->release(block);
      give_back_free_memory();
      monitor_.step(i + 1, blocks);
    }
    finish();
    return std::move(result_);
  }

 private:
  Network& network() { return *result_.network; }

  void start() {
    if (measures_maxima_ || !references_.empty()) {
      const auto phase = monitor_.phase("reference");
      full_precision_ = request_.model->build(false);
      for (RowStream& stream : references_) stream.enter(*full_precision_);
      if (untouched_) untouched_->enter(*full_precision_);
    }
    const auto phase = monitor_.phase("prepare");
    result_.network = request_.model->build(false);
    PreparationRequest preparation;
    preparation.method = request_.method;
    preparation.weights = request_.weights;
    preparation.spec = request_.spec;
    const bool reads =
        request_.method->info.reads_calibration() || (request_.weights && request_.weights->info.needs_calibration);
    preparation.calibration = reads ? request_.calibration : nullptr;
    preparation.maxima = request_.method->info.needs_calibration ? &maxima_ : nullptr;
    preparation.store = request_.store;
    preparation.warn = request_.warn;
    preparation_.emplace(network(), preparation, monitor_);
    plan_slots_of_all_blocks();
    for (RowStream& stream : quantized_) stream.enter(network());
    if (calibrates_slots()) {
      prepared_.emplace(*request_.calibration, request_.budget);
      prepared_->enter(network());
    }
  }

  const QuantizationSpec& spec() const { return request_.spec->quantization; }

  void plan_slots_of_all_blocks() {
    std::vector<SlotPlan>& plans = result_.plans;
    plans = plan_slots(network(), spec());
    for (std::size_t i = 0; i < request_.passes.size(); ++i)
      if (request_.passes[i].statistics) result_.passes[i].statistics.resize(plans.size());
    quantized_bits_.resize(request_.passes.size());
    if (!plans.empty() && needs_channel_means(spec()) && !request_.means) result_.means.emplace();
    if (plans.empty() || request_.tokens == 0) return;
    if (joint_allocation(spec().allocation.kind))
      throw TrialError("unsupported",
                       fmt::format("allocation {} shares bits out among all slots, and a streamed trial sees those of "
                                   "one block at a time; model.streamed: false, or allocation two_level or integer",
                                   spec().allocation.kind));
    chooses_ = transform_per_slot(spec());
    bases_needed_ = needs_bases(spec());
    energies_needed_ = !chooses_ && needs_row_energies(spec().allocation);
    if ((bases_needed_ || energies_needed_ || chooses_) && request_.calibration->tokens_per_item() != request_.tokens)
      throw TrialError("unsupported",
                       fmt::format("sequence transform {} with allocation {} is calibrated on items of the trial's "
                                   "length: calibration.context is {}, data.context {}",
                                   spec().sequence.transform, spec().allocation.kind,
                                   request_.calibration->tokens_per_item(), request_.tokens));
    if (energies_needed_) energies_ = request_.known_energies(plans.size());
    if (energies_needed_ && !energies_) result_.energies.emplace(plans.size());
    if (!chooses_) return;
    result_.candidates = slot_candidates(spec(), request_.tokens, request_.gemm, request_.width);
    candidate_energies_ = request_.known_candidate_energies(result_.candidates, plans.size());
    if (!candidate_energies_)
      result_.candidate_energies.emplace(result_.candidates.list.size(), std::vector<RowEnergies>(plans.size()));
  }

  bool calibrates_slots() const {
    return result_.means || bases_needed_ || (energies_needed_ && !energies_) || result_.candidate_energies;
  }

  void reference_block(std::size_t block) {
    const auto phase = monitor_.phase("reference");
    full_precision_->load(block);
    full_precision_->pack(block);
    for (RowStream& stream : references_) stream.forward(*full_precision_, block);
    if (untouched_) {
      const auto inner = monitor_.phase("calibrate");
      std::vector<Slot*> watched;
      for (LinearSite* site : full_precision_->block_sites(block)) watched.push_back(site);
      const ChannelMaximaObserver observer(watched, maxima_);
      untouched_->forward(*full_precision_, block);
    }
    full_precision_->release(block);
    give_back_free_memory();
  }

  void prepare_block(std::size_t block) {
    const auto phase = monitor_.phase("prepare");
    network().load(block);
    preparation_->block(block);
    give_back_free_memory();
  }

  // Transforms and bits of one block's slots, from the calibration items' rows as the prepared blocks before gave them.
  void calibrate_block(std::size_t block) {
    here_.clear();
    std::vector<SlotPlan>& plans = result_.plans;
    for (std::size_t i = 0; i < plans.size(); ++i)
      if (static_cast<std::size_t>(plans[i].slot->info().layer) == block) here_.push_back(i);
    // Anew: the method may have learned about the ranges of these slots when it came to their block.
    const std::vector<SlotPlan> now = plan_slots(network(), spec());
    std::vector<SlotPlan> part;
    for (const std::size_t i : here_) part.push_back(now[i]);
    {
      const auto phase = monitor_.phase("calibrate");
      if (result_.means)
        result_.means->merge(measure_channel_means(pass_through(block), shifted_sites(part),
                                                   skipped_tokens(spec(), prepared_->items().grid_width()), monitor_));
      const std::optional<ChannelMeans>& means = result_.means ? result_.means : request_.means;
      set_shifts(part, spec(), means ? *means : no_means_);
      // Without text windows no length is the trial's own: rules are made for lengths as they come.
      if (request_.tokens > 0) {
        if (bases_needed_) measure_bases_of(block, part);
        set_transforms(part, spec(), request_.tokens, request_.gemm, calibrated_transforms(), request_.width);
        if (chooses_)
          choose_transforms(part, spec(), request_.tokens, result_.candidates, candidate_energies_of(block, part));
        else
          set_bits(part, spec().allocation, request_.tokens, energies_of(block, part));
      }
      set_rules(part, spec(), request_.tokens, request_.gemm, request_.width);
      bases_.clear();
      if (prepared_) prepared_->forward(network(), block);
    }
    for (std::size_t i = 0; i < here_.size(); ++i) plans[here_[i]] = part[i];
  }

  // Of the current block's slots; where each chooses one, the first for now.
  CalibratedTransform calibrated_transforms() const {
    if (bases_needed_) return [this](const SlotInfo& slot) { return transform_of(slot); };
    if (chooses_) return [this](const SlotInfo&) { return result_.candidates.transforms.front(); };
    return {};
  }

  CalibrationPass pass_through(std::size_t block) {
    CalibrationPass pass;
    pass.count = prepared_->count();
    pass.tokens = prepared_->items().tokens_per_item();
    pass.run = [this, block](std::int64_t i) { prepared_->pass(network(), block, i); };
    return pass;
  }

  void measure_bases_of(std::size_t block, const std::vector<SlotPlan>& part) {
    const BasisPlugin& plugin = basis_plugin(spec().sequence.transform);
    const SequenceTransformRequest transform =
        transform_request(spec(), request_.tokens, request_.gemm, request_.width);
    std::vector<BasisTask> missing;
    std::vector<const SlotPlan*> plans;  // theirs
    for (const SlotPlan& plan : part) {
      if (!plan.transformed) continue;
      std::optional<std::vector<float>> known = request_.known_basis(plan);
      if (known && known->size() == plugin.floats(transform.tokens)) {
        bases_[plan.slot->info().name] = std::make_shared<const std::vector<float>>(std::move(*known));
        continue;
      }
      missing.push_back({plan.slot, basis_request(spec(), transform, plan.low_bits)});
      plans.push_back(&plan);
    }
    if (missing.empty()) return;
    BasisOptions options;
    options.skip = skipped_tokens(spec(), request_.width);
    measure_bases(
        pass_through(block), plugin, missing, options,
        [&](std::size_t i, std::vector<float> basis) {
          request_.keep_basis(*plans[i], basis);
          bases_[plans[i]->slot->info().name] = std::make_shared<const std::vector<float>>(std::move(basis));
        },
        monitor_);
    result_.calibrations = std::max(result_.calibrations, 1);
  }

  std::shared_ptr<const SequenceTransform> transform_of(const SlotInfo& slot) const {
    SequenceTransformRequest request = transform_request(spec(), request_.tokens, request_.gemm, request_.width);
    request.basis = bases_.at(slot.name);
    return with_skipped(skipped_tokens(spec(), request_.width),
                        make_sequence_transform(spec().sequence.transform, request));
  }

  std::vector<RowEnergies> energies_of(std::size_t block, const std::vector<SlotPlan>& part) {
    std::vector<RowEnergies> energies;
    if (!energies_needed_ || part.empty()) return energies;
    if (energies_) {
      for (const std::size_t i : here_) energies.push_back((*energies_)[i]);
      return energies;
    }
    energies = measure_row_energies(pass_through(block), part, monitor_);
    for (std::size_t i = 0; i < here_.size(); ++i) (*result_.energies)[here_[i]] = energies[i];
    return energies;
  }

  CandidateEnergies candidate_energies_of(std::size_t block, const std::vector<SlotPlan>& part) {
    if (!candidate_energies_) {
      const CandidateEnergies measured =
          measure_row_energies(pass_through(block), part, result_.candidates.transforms, monitor_);
      for (std::size_t c = 0; c < measured.size(); ++c)
        for (std::size_t i = 0; i < here_.size(); ++i) (*result_.candidate_energies)[c][here_[i]] = measured[c][i];
      return measured;
    }
    CandidateEnergies known(candidate_energies_->size());
    for (std::size_t c = 0; c < known.size(); ++c)
      for (const std::size_t i : here_) known[c].push_back((*candidate_energies_)[c][i]);
    return known;
  }

  void evaluate_block(std::size_t block) {
    const auto phase = monitor_.phase("run");
    std::vector<SlotPlan> part;
    for (const std::size_t i : here_) part.push_back(result_.plans[i]);
    for (std::size_t p = 0; p < quantized_.size(); ++p) {
      const bool statistics = request_.passes[p].statistics;
      const InstalledQuantizers installed(part, statistics);
      quantized_[p].forward(network(), block);
      quantized_bits_[p].add(installed);
      if (statistics)
        for (std::size_t i = 0; i < here_.size(); ++i)
          result_.passes[p].statistics[here_[i]] = installed.statistics()[i];
    }
    // Calibrated transforms are large, and nobody needs them any more.
    for (const std::size_t i : here_) {
      result_.plans[i].transform.reset();
      result_.plans[i].whole.reset();
      result_.plans[i].decode.reset();
    }
  }

  static void leave(Network& network, RowStream& stream, const Pass& pass) {
    for (Evaluator* e : pass.evaluators) e->begin(*pass.workload);
    stream.leave(network, [&](const WorkItem& item, const Outputs& outputs) {
      for (Evaluator* e : pass.evaluators) e->observe(item, outputs);
    });
  }

  void finish() {
    if (full_precision_) {
      const auto phase = monitor_.phase("reference");
      for (std::size_t i = 0; i < references_.size(); ++i) {
        leave(*full_precision_, references_[i], request_.reference[i]);
        for (Evaluator* e : request_.reference[i].evaluators) e->end({});
      }
      full_precision_.reset();
    }
    const auto phase = monitor_.phase("run");
    for (std::size_t i = 0; i < quantized_.size(); ++i) {
      leave(network(), quantized_[i], request_.passes[i]);
      result_.passes[i].bits = quantized_bits_[i].average();
      for (Evaluator* e : request_.passes[i].evaluators) e->end(result_.passes[i].bits);
    }
    result_.training = preparation_->training();
    if (measures_maxima_) {
      result_.maxima = std::move(maxima_);
      ++result_.calibrations;
    }
    if (result_.means) ++result_.calibrations;
    if (result_.energies || result_.candidate_energies) ++result_.calibrations;
  }

  const StreamedRequest& request_;
  Monitor& monitor_;
  StreamedResult result_;
  std::unique_ptr<Network> full_precision_;
  std::optional<Preparation> preparation_;
  std::deque<RowStream> references_, quantized_;
  std::optional<RowStream> untouched_, prepared_;     // calibration items in the untouched and in the prepared network
  std::vector<QuantizedSums> quantized_bits_;         // of every pass
  std::optional<std::vector<RowEnergies>> energies_;  // known before
  std::optional<CandidateEnergies> candidate_energies_;  // likewise
  bool measures_maxima_ = false, bases_needed_ = false, energies_needed_ = false;
  bool chooses_ = false;  // every slot its transform
  ChannelMaxima maxima_;
  const ChannelMeans no_means_;
  std::map<std::string, std::shared_ptr<const std::vector<float>>> bases_;  // of the current block
  std::vector<std::size_t> here_;                                           // its plans
};

}  // namespace

StreamedResult run_streamed(const StreamedRequest& request, Monitor& monitor) {
  return Walk(request, monitor).run();
}

}  // namespace stamp
