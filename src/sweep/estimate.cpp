#include "sweep/estimate.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "base/text.h"
#include "config/schema.h"
#include "config/shift.h"
#include "results/provenance.h"

namespace stamp {

namespace {

bool to_run(const PlannedTrial& t) {
  return t.state == TrialState::fresh || t.state == TrialState::failed;
}

// Metrics of finished images, which the quantized network has to make; the others look at single steps.
bool makes_images(const TrialSpec& s, const Catalog& catalog) {
  return std::any_of(s.evaluate.begin(), s.evaluate.end(), [&](const std::string& name) {
    const PluginInfo* info = catalog.find(PluginKind::metric, name);
    return info != nullptr && info->reads == "images";
  });
}

// Passes of the quantized network: windows, and the zero-shot questions as if they were windows too; of images the
// steps that are looked at one by one, and all of them where the trial makes images.
double items_of(const TrialSpec& s, const TrialSize& size, const Catalog& catalog) {
  if (size.shape.makes_images() && reads(s, "images", catalog)) {
    const double steps = denoising_steps(s, size.shape);
    return steps * (static_cast<double>(std::min(s.images.traced, s.images.count)) +
                    (makes_images(s, catalog) ? static_cast<double>(s.images.count) : 0));
  }
  const auto context = static_cast<double>(s.data.context);
  double items = size.question_tokens / context;
  if (!reads(s, "data", catalog)) return items;
  if (s.data.windows > 0) return items + static_cast<double>(s.data.windows);
  return items + std::max(1.0, std::floor(size.text_tokens / context));
}

double items_of(const Record& r) {
  for (const Metric& m : r.metrics)
    if (m.over == "windows" && m.n > 0) return static_cast<double>(m.n);
  return 0;
}

// Before the preparation, in a pass of its own.
bool measures_maxima(const TrialSpec& s, const Catalog& catalog) {
  const PluginInfo* info = catalog.find(PluginKind::method, s.quantization.method);
  return info != nullptr && info->needs_calibration;
}
bool transform_needs(const TrialSpec& s, const Catalog& catalog) {
  const PluginInfo* info = catalog.find(PluginKind::sequence_transform, s.quantization.sequence.transform);
  return info != nullptr && info->needs_calibration;
}
bool allocation_needs(const TrialSpec& s, const Catalog& catalog) {
  const PluginInfo* info = catalog.find(PluginKind::allocator, s.quantization.allocation.kind);
  const auto pick = s.quantization.allocation.options.find("pick");
  return (info != nullptr && info->needs_calibration) ||
         (pick != s.quantization.allocation.options.end() && *pick == "energy");
}

std::string images_key(const TrialSpec& s) {
  const ImageSpec& i = s.images;
  return fmt::format("{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}", i.prompts, i.count, i.steps.value_or(0), i.guidance.value_or(-1),
                     i.height.value_or(0), i.width.value_or(0), i.negative_prompt, i.seed);
}
std::string calibration_key(const TrialSpec& s, const Catalog& catalog) {
  if (reads(s, "images", catalog))
    return fmt::format("{}\n{}\n{}\n{}", s.model.name, s.calibration.samples, s.calibration.seed, images_key(s));
  return fmt::format("{}\n{}\n{}\n{}\n{}\n{}", s.model.name, s.calibration.text, s.calibration.context,
                     s.calibration.samples, s.calibration.select, s.calibration.seed);
}
std::string reference_key(const TrialSpec& s, const Catalog& catalog) {
  if (reads(s, "images", catalog)) return s.model.name + "\n" + images_key(s);
  return fmt::format("{}\n{}\n{}\n{}\n{}", s.model.name, s.data.text, s.data.context, s.data.windows, s.data.bos);
}

// Passes of the full-precision network that are no windows: to the images, whose steps the items are, and to those that
// calibration takes its items from.
void add_image_passes(const TrialSpec& s, const ModelShape& shape, TrialWork& work) {
  const double steps = denoising_steps(s, shape);
  work.reference_items = steps * static_cast<double>(s.images.count);
  work.made_items = steps * calibration_images(s, shape);
}

// What trials before this one, and finished ones whose results lie in the cache, have done already.
class Shared {
 public:
  explicit Shared(const Catalog& catalog) : catalog_(catalog) {}

  TrialWork work_of(const PlannedTrial& t, const ModelShape& shape, double items, bool streamed) {
    const TrialSpec& s = t.spec;
    const std::string calibration = calibration_key(s, catalog_);
    TrialWork work;
    work.items = items;
    if (shape.makes_images()) {
      add_image_passes(s, shape, work);
      if (!needs_calibration(s, catalog_) || !fresh(made_, calibration)) work.made_items = 0;
    }
    work.reference = fresh(references_, reference_key(s, catalog_));
    work.prepare = streamed || fresh(weights_, weights_group(t));  // a streamed network is gone when its trial ends
    work.maxima = work.prepare && measures_maxima(s, catalog_) && fresh(maxima_, calibration);
    const SequenceSpec& sequence = s.quantization.sequence;
    const std::string candidates =
        sequence.options.is_object() ? sequence.options.value("candidates", Json()).dump() : "";
    const std::string slots = weights_group(t) + calibration + sequence.transform + candidates +
                              (shifts_inputs(s.quantization) ? s.quantization.activations.shift : "");
    work.means = needs_channel_means(s.quantization) && fresh(means_, weights_group(t) + calibration);
    work.bases = transform_needs(s, catalog_) && fresh(bases_, slots);
    work.energies = allocation_needs(s, catalog_) && fresh(energies_, slots);
    return work;
  }
  void done(const TrialSpec& s) {
    references_.insert(reference_key(s, catalog_));
    made_.insert(calibration_key(s, catalog_));
    if (measures_maxima(s, catalog_)) maxima_.insert(calibration_key(s, catalog_));
  }

 private:
  static bool fresh(std::set<std::string>& known, const std::string& key) { return known.insert(key).second; }
  const Catalog& catalog_;
  std::set<std::string> references_, made_, weights_, maxima_, means_, bases_, energies_;
};

double median(std::vector<double> v) {
  std::nth_element(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2), v.end());
  return v[v.size() / 2];
}

// How far the prediction of a phase was off, in finished trials of one model: measured over predicted.
struct Measured {
  std::map<std::string, std::vector<double>> ratios;
  std::map<bool, double> bytes;  // largest peak, streamed or not
  // Passes are alike: what is not measured of one, another tells.
  std::optional<double> ratio(const std::string& phase) const {
    std::vector<std::string> names{phase};
    if (phase != "prepare") names.insert(names.end(), {"run", "reference"});
    for (const std::string& name : names)
      if (const auto r = ratios.find(name); r != ratios.end()) return median(r->second);
    return std::nullopt;
  }
};

std::map<std::string, Measured> measured_by_model(const ReadRecords& records,
                                                  const std::map<std::string, TrialSize>& sizes, const Catalog& catalog,
                                                  const MachineSpeed& speed, Shared& shared) {
  std::map<std::string, Measured> out;
  if (records.records.empty()) return out;
  const Schema schema(catalog);
  for (const Record& r : records.records) {
    if (r.status != "done") continue;
    std::optional<TrialSpec> spec;
    try {
      spec = trial_from_json(r.spec, schema);
    } catch (const ConfigError&) {
      continue;  // of a version with other settings
    }
    shared.done(*spec);
    const auto size = sizes.find(spec->model.name);
    if (size == sizes.end() || !size->second.shape.known()) continue;
    const bool images = size->second.shape.makes_images();
    const double items = images ? items_of(*spec, size->second, catalog) : items_of(r);
    Measured& m = out[spec->model.name];
    double& largest = m.bytes[r.model.value("streamed", false)];
    largest = std::max(largest, static_cast<double>(r.peak_memory_bytes));
    if (items == 0) continue;
    TrialWork all;
    all.items = items;
    if (images) {
      add_image_passes(*spec, size->second.shape, all);
      if (!needs_calibration(*spec, catalog)) all.made_items = 0;
    }
    all.maxima = measures_maxima(*spec, catalog);
    all.means = needs_channel_means(spec->quantization);
    all.bases = transform_needs(*spec, catalog);
    all.energies = allocation_needs(*spec, catalog);
    for (const auto& [phase, predicted] : trial_seconds(*spec, catalog, size->second.shape, all, speed)) {
      const auto timed = r.timing_s.find(phase);
      // A phase that found its result in the cache takes next to nothing, and says nothing.
      if (timed != r.timing_s.end() && timed->second > 0.05 * predicted)
        m.ratios[phase].push_back(timed->second / predicted);
    }
  }
  return out;
}

std::string plural(std::size_t n, const std::string& one) {
  return fmt::format("{} {}{}", n, one, n == 1 ? "" : "s");
}

}  // namespace

MachineSpeed assumed_speed() {
  const Json hardware = hardware_provenance();
  const auto has = [&](const char* f) {
    return std::find(hardware["features"].begin(), hardware["features"].end(), f) != hardware["features"].end();
  };
  const double cores = hardware["cores"].get<double>();
  // Float32 products of a decoder reach about these on one core (measured with 512-bit vectors, halved with each
  // halving); the other numbers stand in the proportions they had there.
  const double flops = (has("avx512f") ? 100e9 : has("avx2") ? 50e9 : 12e9) * cores;
  MachineSpeed s;
  s.threads = static_cast<int>(cores);
  s.linear = {{4096, flops}};
  s.double_product = flops / 3;
  s.attention = flops / 2;
  s.row_work = s.gate = 100 / flops;
  s.exponential = 100 / flops;
  s.hadamard = 200 / flops;
  s.quantizer = {{"identity", 200 / flops}, {"haar", 300 / flops}, {"dct", 1500 / flops}, {"wht", 500 / flops}};
  s.statistics = 100 / flops;
  s.clip_search = 1000 / flops;
  s.rounding = 50 / flops;
  s.load = s.pack = 100 / flops;
  s.eigen = 30 / flops;
  s.program_bytes = 250e6;
  return s;
}

Parts Estimate::parts() const {
  Parts total;
  for (const TrialEstimate& t : trials)
    for (const auto& [phase, s] : t.seconds) {
      auto it = std::find_if(total.begin(), total.end(), [&](const auto& p) { return p.first == phase; });
      if (it == total.end()) it = total.insert(it, {phase, 0});
      it->second += s;
    }
  return total;
}

const TrialEstimate* Estimate::largest() const {
  const auto it = std::max_element(trials.begin(), trials.end(), [](const TrialEstimate& a, const TrialEstimate& b) {
    return sum(a.bytes) < sum(b.bytes);
  });
  return it == trials.end() ? nullptr : &*it;
}

Estimate estimate(const Plan& plan, const ReadRecords& records, const SizeOf& size_of, const Catalog& catalog,
                  const Machine& machine) {
  Estimate e;
  std::map<std::string, TrialSize> sizes;
  for (const PlannedTrial& t : plan.trials)
    if (to_run(t)) sizes.try_emplace(t.spec.model.name, size_of ? size_of(t.spec) : TrialSize{});
  Shared shared(catalog);
  const std::map<std::string, Measured> measured = measured_by_model(records, sizes, catalog, machine.speed, shared);
  for (const PlannedTrial& t : plan.trials) {
    if (!to_run(t)) continue;
    const TrialSize size = size_of ? size_of(t.spec) : TrialSize{};
    if (!size.shape.known()) {
      ++e.unknown;
      continue;
    }
    TrialEstimate one;
    one.id = t.id;
    const double items = items_of(t.spec, size, catalog);
    one.streamed = runs_streamed(t.spec.model, size.shape, machine.available_bytes);
    one.seconds =
        trial_seconds(t.spec, catalog, size.shape, shared.work_of(t, size.shape, items, one.streamed), machine.speed);
    one.bytes = trial_memory(t.spec, catalog, size.shape, items, one.streamed, machine.speed.program_bytes);
    if (const auto known = measured.find(t.spec.model.name); known != measured.end()) {
      bool scaled = false;
      for (auto& [phase, seconds] : one.seconds)
        if (const auto ratio = known->second.ratio(phase)) {
          seconds *= *ratio;
          scaled = true;
        }
      e.scaled += scaled ? 1 : 0;
      if (const auto bytes = known->second.bytes.find(one.streamed); bytes != known->second.bytes.end())
        one.bytes = {{"measured", bytes->second}};
    }
    e.seconds += sum(one.seconds);
    e.memory_bytes = std::max(e.memory_bytes, sum(one.bytes));
    e.trials.push_back(std::move(one));
  }
  return e;
}

std::string plan_sentence(const Plan& plan, const SharedWork& work, const Estimate& estimate) {
  const auto count = [&](TrialState s) {
    return static_cast<std::size_t>(
        std::count_if(plan.trials.begin(), plan.trials.end(), [&](const PlannedTrial& t) { return t.state == s; }));
  };
  std::vector<std::string> states;
  const std::size_t fresh = count(TrialState::fresh), failed = count(TrialState::failed);
  if (fresh) states.push_back(fmt::format("{} new", fresh));
  if (const auto n = count(TrialState::done)) states.push_back(fmt::format("{} done", n));
  if (failed) states.push_back(fmt::format("{} failed earlier", failed));
  if (const auto n = count(TrialState::missing)) states.push_back(fmt::format("{} missing", n));
  if (plan.merged) states.push_back(fmt::format("{} merged", plan.merged));
  std::string text = plural(plan.trials.size(), "trial");
  if (!states.empty()) text += ": " + join(states, ", ");

  // One number and its reasons, the reasons in order of appearance.
  const auto reasons = [&](bool refused) {
    std::vector<std::string> distinct;
    std::size_t n = 0;
    for (const ExcludedCell& x : plan.excluded) {
      if (x.refused != refused) continue;
      ++n;
      const std::string quoted = "\"" + x.because + "\"";
      if (std::find(distinct.begin(), distinct.end(), quoted) == distinct.end()) distinct.push_back(quoted);
    }
    if (n == 0) return std::string();
    if (distinct.size() > 3)
      distinct = {distinct[0], distinct[1], fmt::format("and {} other reasons", distinct.size() - 2)};
    return fmt::format("; {} {} ({})", n, refused ? "refused" : "excluded", join(distinct, ", "));
  };
  text += reasons(false) + reasons(true);

  if (fresh + failed > 0) {
    text += fmt::format("; {}, {}", plural(work.models, "model"), plural(work.calibrations, "calibration"));
    if (estimate.seconds > 0) text += "; about " + duration_text(estimate.seconds);
    if (estimate.memory_bytes > 0)
      text += fmt::format("{}{}", estimate.seconds > 0 ? ", " : "; about ",
                          bytes_text(static_cast<std::uint64_t>(estimate.memory_bytes)));
    if (estimate.unknown > 0)
      text += fmt::format(" (not counting {} of unknown size)", plural(estimate.unknown, "trial"));
  }
  return text;
}

}  // namespace stamp
