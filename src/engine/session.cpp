#include "engine/session.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "engine/preparation.h"

namespace stamp {

namespace {

const PluginInfo& transform_info(const std::string& name) {
  std::vector<std::string> names;
  for (const SequenceTransformPlugin& p : sequence_transforms()) {
    if (p.info.name == name) return p.info;
    names.push_back(p.info.name);
  }
  throw TrialError("unsupported", "unknown sequence transform \"" + name + "\"" + did_you_mean(name, names));
}

// Metrics travel through the cache as a record's, so that there is one way to write a number.
std::string metrics_text(const std::vector<Metric>& metrics) {
  Record record;
  record.id = "reference";
  record.status = "done";
  record.spec = Json::object();
  record.metrics = metrics;
  return to_json(record).dump();
}

std::vector<Metric> metrics_from(const std::string& text) {
  return record_from_json(Json::parse(text)).metrics;
}

bool needs_items(const PluginInfo& info) {
  return info.needs_calibration || info.needs_block_inputs;
}

// What a method trained, in the user's cache under the settings of the trial.
class CachedMethodStore : public MethodStore {
 public:
  CachedMethodStore(const ResultCache& cache, KeyContext context, const TrialSpec& spec, ResultCache::Warn warn)
      : cache_(cache), context_(std::move(context)), spec_(spec), warn_(std::move(warn)) {}
  std::optional<std::string> load(const Json& part) override {
    return cache_.load("training", training_key(context_, spec_, part), warn_);
  }
  void store(const Json& part, std::string_view bytes) override {
    cache_.store("training", training_key(context_, spec_, part), bytes, warn_);
  }

 private:
  const ResultCache& cache_;
  KeyContext context_;
  const TrialSpec& spec_;
  ResultCache::Warn warn_;
};

}  // namespace

Json content_of(const Workload& workload) {
  Json description = workload.description();
  description.erase("path");
  return description;
}

ResultCache::Warn Session::warn_into(Monitor& monitor) const {
  return [&monitor](const std::string& text) { monitor.warn(text); };
}

const MethodPlugin& Session::method(const TrialSpec& spec) const {
  return find_plugin(options_.plugins.methods, spec.quantization.method, "method");
}

bool Session::needs_calibration(const TrialSpec& spec) const {
  const QuantizationSpec& q = spec.quantization;
  const bool weights =
      q.weights.bits < 16 &&
      find_plugin(options_.plugins.weight_quantizers, q.weights.quantizer, "weight quantizer").info.needs_calibration;
  return needs_items(method(spec).info) || weights || transform_info(q.sequence.transform).needs_calibration ||
         needs_row_energies(q.allocation);
}

KeyContext Session::key_context() const {
  return {model_description_, calibration_ ? content_of(*calibration_) : Json(), options_.threads, options_.arithmetic};
}

const Workload& Session::workload(const Json& key, const std::function<std::unique_ptr<Workload>()>& make) {
  auto& entry = workloads_[key.dump()];
  if (!entry) {
    entry = make();
    ++counters_.workloads;
  }
  return *entry;
}

void Session::open(const TrialSpec& spec, Monitor& monitor) {
  const auto phase = monitor.phase("load");
  if (!model_ || model_path_ != spec.model.path) {
    live_ = {};
    pool_.reset();
    data_ = calibration_ = nullptr;
    workloads_.clear();
    references_.clear();
    model_.reset();
    model_path_ = spec.model.path;
    model_ = options_.plugins.open_model(spec.model);
    model_description_ = model_->description();
    model_description_.erase("path");
    ++counters_.models;
    monitor.info(fmt::format("model {}: digest {}", spec.model.path, model_description_.value("digest", "unknown")));
  }
  const DataSpec& d = spec.data;
  data_ = &workload({"data", d.text, d.context, d.windows, d.bos}, [&] { return model_->workload(d); });
  calibration_ = nullptr;
  if (needs_calibration(spec)) {
    const CalibrationSpec c = calibration_of(spec);
    calibration_ =
        &workload({"calibration", c.text, c.context, c.samples, c.select, c.seed}, [&] { return model_->workload(c); });
  }
}

std::vector<std::unique_ptr<Evaluator>> Session::evaluators(const std::vector<std::string>& names) const {
  EvaluatorContext context;
  context.protocol = data_->protocol();
  std::vector<std::unique_ptr<Evaluator>> list;
  for (const std::string& name : names)
    list.push_back(find_plugin(options_.plugins.metrics, name, "metric").make(context));
  return list;
}

void Session::run(Network& network, const std::vector<std::unique_ptr<Evaluator>>& evaluators, Monitor& monitor) {
  for (std::int64_t i = 0; i < data_->count(); ++i) {
    monitor.step(i, data_->count());
    const WorkItem item = data_->item(i);
    const Outputs outputs = network.run(item);
    for (const auto& e : evaluators) e->observe(item, outputs);
  }
}

Network& Session::full_precision() {
  const Json key = "full precision";
  if (live_.key != key) {
    live_ = {};
    live_.network = model_->build();
    live_.network->pack();
    live_.key = key;
    ++counters_.builds;
  }
  return *live_.network;
}

std::vector<Metric> Session::reference(const TrialSpec& spec, Monitor& monitor) {
  std::vector<std::string> names = spec.evaluate;
  std::sort(names.begin(), names.end());
  std::erase_if(names, [&](const std::string& name) { return evaluators({name}).front()->needs_slot_statistics(); });
  if (names.empty()) return {};
  const Json key = reference_key(key_context(), {content_of(*data_), data_->protocol()}, names);
  const auto known = references_.find(key.dump());
  if (known != references_.end()) return known->second;

  const auto phase = monitor.phase("reference");
  std::vector<Metric> metrics;
  if (const auto cached = cache_.load("reference", key, warn_into(monitor))) {
    metrics = metrics_from(*cached);
    monitor.info("full-precision reference: from the cache");
  } else {
    const auto list = evaluators(names);
    run(full_precision(), list, monitor);
    for (const auto& e : list)
      for (Metric& m : e->finish({})) metrics.push_back(std::move(m));
    for (Metric& m : metrics) m.name += "_fp";
    ++counters_.references;
    cache_.store("reference", key, metrics_text(metrics), warn_into(monitor));
  }
  references_[key.dump()] = metrics;
  return metrics;
}

// One entry for all slots: JSON of the lengths would repeat the network's list, so names and values stand in one
// object.
ChannelMaxima Session::channel_maxima(Monitor& monitor) {
  const auto phase = monitor.phase("calibrate");
  const Json key = channel_maxima_key(key_context());
  if (const auto cached = cache_.load("channel_maxima", key, warn_into(monitor))) {
    monitor.info("channel maxima: from the cache");
    return Json::parse(*cached).get<ChannelMaxima>();
  }
  const ChannelMaxima maxima = measure_channel_maxima(full_precision(), *calibration_, monitor);
  ++counters_.calibrations;
  cache_.store("channel_maxima", key, Json(maxima).dump(), warn_into(monitor));
  return maxima;
}

Network& Session::prepared(const TrialSpec& spec, Monitor& monitor) {
  const QuantizationSpec& q = spec.quantization;
  const MethodPlugin& plugin = method(spec);
  const WeightQuantizerPlugin& weights =
      find_plugin(options_.plugins.weight_quantizers, q.weights.quantizer, "weight quantizer");
  const bool calibrated =
      needs_items(plugin.info) || (q.weights.bits < 16 && weights.info.needs_calibration);
  const Json key = prepared_key(key_context(), spec, calibrated, plugin.info.trained);
  if (live_.key == key) {
    for (const std::string& w : live_.warnings) monitor.warn(w);
    return *live_.network;
  }

  ChannelMaxima maxima;
  if (plugin.info.needs_calibration) maxima = channel_maxima(monitor);
  const auto phase = monitor.phase("prepare");
  live_ = {};  // before the next one is built: a second copy of the weights would double the memory
  Live made;
  const auto warn = [&](const std::string& text) {
    made.warnings.push_back(text);
    monitor.warn(text);
  };
  made.network = model_->build();
  ++counters_.builds;
  CachedMethodStore store(cache_, key_context(), spec, warn_into(monitor));
  PreparationRequest request;
  request.method = &plugin;
  request.weights = q.weights.bits < 16 ? &weights : nullptr;
  request.spec = &spec;
  request.calibration = calibrated ? calibration_ : nullptr;
  request.maxima = plugin.info.needs_calibration ? &maxima : nullptr;
  request.store = &store;
  request.warn = warn;
  Preparation preparation(*made.network, request, monitor);
  for (std::size_t block = 0; block < made.network->blocks(); ++block) preparation.block(block);
  preparation.finish();
  made.training = preparation.training();
  made.key = key;
  live_ = std::move(made);
  return *live_.network;
}

CalibratedTransform Session::calibrated_transform(const TrialSpec& spec, Monitor& monitor) {
  const QuantizationSpec& q = spec.quantization;
  if (!transform_info(q.sequence.transform).needs_calibration) return {};
  const std::int64_t tokens = data_->tokens_per_item(), skip = q.sequence.skip_first;
  const SequenceTransformRequest request = transform_request(q, tokens, options_.gemm);
  if (calibration_->tokens_per_item() != tokens)
    throw TrialError("unsupported", fmt::format("sequence transform {} is calibrated on items of the trial's length: "
                                                "calibration.context is {}, data.context {}",
                                                q.sequence.transform, calibration_->tokens_per_item(), tokens));
  const KeyContext context = key_context();
  const Json prepared_as = live_.key;
  const auto key_of = [=](const std::string& slot) { return basis_key(context, prepared_as, skip, slot); };
  const auto expected = static_cast<std::size_t>(request.tokens * request.tokens) * sizeof(float);
  const Json pool_key = {key_of(""), q.sequence.transform, q.sequence.options};

  if (!pool_ || pool_key_ != pool_key) {
    const auto phase = monitor.phase("calibrate");
    // Every basis is read once here, so that a damaged entry is found while it can still be made again.
    std::vector<Slot*> missing;
    for (const SlotPlan& plan : plan_slots(*live_.network, q)) {
      if (!plan.transformed) continue;
      const auto cached = cache_.load("basis", key_of(plan.slot->info().name), warn_into(monitor));
      if (!cached || cached->size() != expected) missing.push_back(plan.slot);
    }
    auto unkept = std::make_shared<std::map<std::string, std::shared_ptr<const std::vector<float>>>>();
    if (!missing.empty()) {
      BasisOptions options;
      options.skip = skip;
      options.budget_bytes = options_.basis_budget_bytes;
      measure_bases(
          *live_.network, *calibration_, missing, options,
          [&](std::size_t i, std::vector<float> basis) {
            const std::string& slot = missing[i]->info().name;
            if (!cache_.store("basis", key_of(slot), bytes_of(std::span<const float>(basis)), warn_into(monitor)))
              (*unkept)[slot] = std::make_shared<const std::vector<float>>(std::move(basis));
          },
          monitor);
      ++counters_.calibrations;
    }
    const auto make = [this, key_of, unkept, request, name = q.sequence.transform, skip](const std::string& slot) {
      SequenceTransformRequest r = request;
      const auto held = unkept->find(slot);
      if (held != unkept->end()) {
        r.basis = held->second;
      } else {
        const auto cached = cache_.load("basis", key_of(slot), [](const std::string&) {});
        if (!cached)
          throw TrialError("calibration", "the cached basis of slot " + slot + " has gone while the trial ran");
        r.basis = std::make_shared<const std::vector<float>>(values_of<float>(*cached));
      }
      return std::shared_ptr<const SequenceTransform>(with_skipped(skip, make_sequence_transform(name, r)));
    };
    // A dense transform holds its matrix and the transposed one.
    pool_ = std::make_shared<TransformPool>(make, 2 * expected, options_.basis_budget_bytes);
    pool_key_ = pool_key;
  }
  return [pool = pool_, tokens](const SlotInfo& slot) { return pool->lend(slot.name, tokens); };
}

std::vector<RowEnergies> Session::row_energies(const TrialSpec& spec, const std::vector<SlotPlan>& plans,
                                               Monitor& monitor) {
  if (!needs_row_energies(spec.quantization.allocation) || plans.empty()) return {};
  const auto phase = monitor.phase("calibrate");
  const std::int64_t tokens = data_->tokens_per_item();
  if (calibration_->tokens_per_item() != tokens)
    throw TrialError("unsupported",
                     fmt::format("allocation {} is calibrated on items of the trial's length: "
                                 "calibration.context is {}, data.context {}",
                                 spec.quantization.allocation.kind, calibration_->tokens_per_item(), tokens));
  const auto n = static_cast<std::size_t>(tokens);
  const Json key = row_energies_key(key_context(), live_.key, spec, tokens);
  if (const auto cached = cache_.load("row_energies", key, warn_into(monitor))) {
    const std::vector<double> values = values_of<double>(*cached);
    if (values.size() == plans.size() * 2 * n) {
      std::vector<RowEnergies> energies(plans.size());
      auto at = values.begin();
      for (RowEnergies& e : energies)
        for (auto* list : {&e.energy, &e.spread}) {
          list->assign(at, at + static_cast<std::ptrdiff_t>(n));
          at += static_cast<std::ptrdiff_t>(n);
        }
      monitor.info("row energies: from the cache");
      return energies;
    }
  }
  const std::vector<RowEnergies> energies = measure_row_energies(*live_.network, *calibration_, plans, monitor);
  ++counters_.calibrations;
  std::vector<double> values;
  for (const RowEnergies& e : energies)
    for (const auto* list : {&e.energy, &e.spread}) values.insert(values.end(), list->begin(), list->end());
  cache_.store("row_energies", key, bytes_of(std::span<const double>(values)), warn_into(monitor));
  return energies;
}

std::vector<SlotPlan> Session::slots(const TrialSpec& spec, Monitor& monitor) {
  const std::int64_t tokens = data_->tokens_per_item();
  std::vector<SlotPlan> plans = plan_slots(*live_.network, spec.quantization);
  if (plans.empty()) return plans;
  set_transforms(plans, spec.quantization, tokens, options_.gemm, calibrated_transform(spec, monitor));
  set_bits(plans, spec.quantization.allocation, tokens, row_energies(spec, plans, monitor));
  set_rules(plans, spec.quantization, tokens, options_.gemm);
  return plans;
}

}  // namespace stamp
