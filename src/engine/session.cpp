#include "engine/session.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/memory.h"
#include "engine/preparation.h"
#include "engine/slot_shifts.h"
#include "models/generated_workload.h"

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
  return info.reads_calibration();
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

std::unique_ptr<MethodStore> Session::method_store(const TrialSpec& spec, Monitor& monitor) const {
  return std::make_unique<CachedMethodStore>(cache_, key_context(), spec, warn_into(monitor));
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
         needs_row_energies(q.allocation) || needs_channel_means(q);
}

bool Session::reads_images(const TrialSpec& spec) const {
  return reads(spec, "images") || reads(spec, "steps");
}

bool Session::reads(const TrialSpec& spec, const std::string& section) const {
  return std::any_of(spec.evaluate.begin(), spec.evaluate.end(), [&](const std::string& name) {
    return find_plugin(options_.plugins.metrics, name, "metric").info.reads == section;
  });
}

const Workload& Session::task_questions(const ZeroShotSpec& z, const std::string& task) {
  return workload({"zero_shot", task, z.data, z.items, z.bos, z.rule, z.batch_rows},
                  [&] { return model_->questions(z, task); });
}

KeyContext Session::key_context() const {
  return {model_description_, calibration_ ? content_of(*calibration_) : Json(), options_.threads, options_.arithmetic};
}

Workload& Session::workload(const Json& key, const std::function<std::shared_ptr<Workload>()>& make) {
  auto& entry = workloads_[key.dump()];
  if (!entry) {
    entry = make();
    ++counters_.workloads;
  }
  return *entry;
}

void Session::open(const TrialSpec& spec, Monitor& monitor) {
  const auto phase = monitor.phase("load");
  if (live_.network) clear_shifts(*live_.network);  // of the trial before
  if (!model_ || model_path_ != spec.model.path) {
    live_ = {};
    pool_.reset();
    data_ = calibration_ = nullptr;
    results_.reset();
    questions_.clear();
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
  data_ = calibration_ = nullptr;
  results_.reset();
  if (reads_images(spec)) {
    if (reads(spec, "data") || reads(spec, "zero_shot"))
      throw TrialError("unsupported", "a trial reads texts or makes images: leave out the metrics of one or the other");
    open_images(spec, monitor);
    return;
  }
  if (reads(spec, "data") || reads(spec, "items"))
    data_ = &workload({"data", d.text, d.context, d.windows, d.bos}, [&] { return model_->workload(d); });
  questions_.clear();
  if (reads(spec, "zero_shot"))
    for (const std::string& task : spec.zero_shot.tasks) questions_.push_back(&task_questions(spec.zero_shot, task));
  if (needs_calibration(spec)) {
    const CalibrationSpec c = calibration_of(spec);
    calibration_ =
        &workload({"calibration", c.text, c.context, c.samples, c.select, c.seed}, [&] { return model_->workload(c); });
  }
}

void Session::open_images(const TrialSpec& spec, Monitor& monitor) {
  const ImageSpec i = images_of(spec);
  const Json settings = {i.prompts,
                         i.count,
                         i.traced,
                         i.steps.value_or(-1),
                         i.guidance.value_or(-1),
                         i.height.value_or(-1),
                         i.width.value_or(-1),
                         i.negative_prompt,
                         i.seed};
  Workload& steps = workload({"images", settings}, [&] { return model_->images(i); });
  generate(steps, spec, monitor);
  data_ = &steps;
  if (const auto* made = dynamic_cast<const GeneratedWorkload*>(&steps); made && reads(spec, "images"))
    results_ = made->results(false);
  questions_.clear();
  if (!needs_calibration(spec)) return;
  const CalibrationSpec c = calibration_of(spec);
  Workload& calibration =
      workload({"calibration images", settings, c.samples, c.seed}, [&] { return model_->images(i, &c); });
  generate(calibration, spec, monitor);
  calibration_ = &calibration;
}

void Session::generate(Workload& workload, const TrialSpec& spec, Monitor& monitor) {
  auto* const items = dynamic_cast<GeneratedWorkload*>(&workload);
  if (!items) return;
  const auto tell = [&] {
    for (const std::string& text : items->warnings()) monitor.warn(text);
  };
  if (items->generated()) return tell();
  const auto phase = monitor.phase("reference");
  const Json key = generated_key(key_context(), content_of(workload));
  if (const auto cached = cache_.load("generated", key, warn_into(monitor)); cached && items->restore(*cached)) {
    monitor.info("items that the full-precision model makes: from the cache");
    return;
  }
  const auto step = [&](std::int64_t done, std::int64_t total) { monitor.step(done, total); };
  if (streams(spec)) {
    live_ = {};
    const std::unique_ptr<Network> network = model_->build(false);
    items->generate(*network, true, step);
  } else {
    items->generate(full_precision(), false, step);
  }
  tell();
  ++counters_.references;
  cache_.store("generated", key, items->state(), warn_into(monitor));
}

std::vector<RunningMetric> Session::metrics(const TrialSpec& spec, const std::vector<std::string>& names,
                                            bool full_precision, const KeepFile& keep_file) const {
  EvaluatorContext context;
  if (data_) context.protocol = data_->protocol();
  context.spec = &spec;
  context.full_precision = full_precision;
  context.gemm = options_.gemm;
  context.keep_file = keep_file;
  std::vector<RunningMetric> list;
  for (const std::string& name : names) {
    const MetricPlugin& plugin = find_plugin(options_.plugins.metrics, name, "metric");
    list.push_back({plugin.info.reads, plugin.make(context)});
  }
  return list;
}

Network& Session::full_precision() {
  const Json key = "full precision";
  if (live_.key != key) {
    live_ = {};
    // A block is packed before the next one is read: plain weights of a whole model would leave the heap full of holes.
    live_.network = model_->build(false);
    for (std::size_t block = 0; block < live_.network->blocks(); ++block) {
      live_.network->load(block);
      live_.network->pack(block);
      give_back_free_memory();
    }
    live_.network->pack_ends();
    give_back_free_memory();
    live_.key = key;
    ++counters_.builds;
  }
  return *live_.network;
}

Session::ReferenceTask Session::reference_task(const TrialSpec& spec) {
  ReferenceTask task;
  std::vector<std::string> sorted = spec.evaluate, names;
  std::sort(sorted.begin(), sorted.end());
  std::vector<RunningMetric> all = metrics(spec, sorted, true);
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].evaluator->needs_slot_statistics() || !all[i].evaluator->has_reference()) continue;
    task.metrics.push_back(std::move(all[i]));
    names.push_back(sorted[i]);
  }
  if (names.empty()) return task;
  // Nothing is quantized, so that a shared context gives what whole sequences would: the cheaper way is enough.
  ZeroShotSpec shared = spec.zero_shot;
  shared.rule = "leak_free";
  std::vector<const Workload*>& questions = task.questions;
  Json data = Json::array();
  const auto enters = [&](const Workload& w) { data.push_back({content_of(w), w.protocol()}); };
  const bool items = std::any_of(task.metrics.begin(), task.metrics.end(),
                                 [](const RunningMetric& m) { return m.reads != "zero_shot"; });
  if (data_ && items) enters(*data_);
  if (const auto* made = dynamic_cast<const GeneratedWorkload*>(data_); made && results_)
    task.results = made->results(true);
  if (task.results)
    for (const RunningMetric& m : task.metrics)
      if (m.reads == "images")
        if (std::string with = m.evaluator->judged_with(*task.results); !with.empty()) data.push_back(std::move(with));
  if (!questions_.empty())
    for (const std::string& name : spec.zero_shot.tasks) {
      questions.push_back(&task_questions(shared, name));
      enters(*questions.back());
    }
  task.key = reference_key(key_context(), data, names);
  return task;
}

std::optional<std::vector<Metric>> Session::known_reference(const ReferenceTask& task, Monitor& monitor) {
  const auto known = references_.find(task.key.dump());
  if (known != references_.end()) return known->second;
  const auto cached = cache_.load("reference", task.key, warn_into(monitor));
  if (!cached) return std::nullopt;
  monitor.info("full-precision reference: from the cache");
  return references_[task.key.dump()] = metrics_from(*cached);
}

std::vector<Metric> Session::keep_reference(const ReferenceTask& task, Monitor& monitor) {
  std::vector<Metric> results;
  for (const RunningMetric& m : task.metrics)
    for (Metric& result : m.evaluator->finish({})) results.push_back(std::move(result));
  for (Metric& m : results) m.name += "_fp";
  ++counters_.references;
  cache_.store("reference", task.key, metrics_text(results), warn_into(monitor));
  return references_[task.key.dump()] = results;
}

std::vector<Metric> Session::reference(const TrialSpec& spec, Monitor& monitor) {
  const ReferenceTask task = reference_task(spec);
  if (task.metrics.empty()) return {};
  const auto phase = monitor.phase("reference");
  if (auto known = known_reference(task, monitor)) return *known;
  Network& network = full_precision();
  for (const Pass& pass : passes_of(task.metrics, {data_, task.results.get(), task.questions})) {
    run_pass(network, pass, monitor);
    for (Evaluator* e : pass.evaluators) e->end({});
  }
  return keep_reference(task, monitor);
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
  const bool calibrated = needs_items(plugin.info) || (q.weights.bits < 16 && weights.info.needs_calibration);
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
  // Training may want all blocks at once.
  made.network = model_->build(plugin.info.trained);
  ++counters_.builds;
  const std::unique_ptr<MethodStore> store = method_store(spec, monitor);
  PreparationRequest request;
  request.method = &plugin;
  request.weights = q.weights.bits < 16 ? &weights : nullptr;
  request.spec = &spec;
  request.calibration = calibrated ? calibration_ : nullptr;
  request.maxima = plugin.info.needs_calibration ? &maxima : nullptr;
  request.store = store.get();
  request.warn = warn;
  Preparation preparation(*made.network, request, monitor);
  for (std::size_t block = 0; block < made.network->blocks(); ++block) {
    made.network->load(block);
    preparation.block(block);
    give_back_free_memory();
  }
  preparation.finish();
  give_back_free_memory();
  made.training = preparation.training();
  made.key = key;
  live_ = std::move(made);
  return *live_.network;
}

}  // namespace stamp
