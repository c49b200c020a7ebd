#include "sweep/cost.h"

#include <algorithm>
#include <cmath>

#include "config/shift.h"
#include "sweep/cost_terms.h"

namespace stamp {

using namespace cost;

namespace {

// Keys that n queries of one sequence see, summed.
double visible_keys(double n, double window) {
  const double w = window > 0 ? std::min(window, n) : n;
  return w * (w + 1) / 2 + (n - w) * w;
}

// Queries times keys in all layers and sequences.
double attended(const ModelShape& m, const SequenceShape& x) {
  const double n = x.length;
  if (m.makes_images()) {
    const double own = m.linear_attention ? m.head_dim : n;  // keys, or columns of the sums that stand for them
    return x.count * m.layers * n * (m.query_width() * own + m.cross_width * caption_rows);
  }
  const double full = m.layers - m.sliding_layers;
  return x.count * m.query_width() * (full * visible_keys(n, 0) + m.sliding_layers * visible_keys(n, m.sliding_window));
}

double blocks_pass(const ModelShape& m, const SequenceShape& x, const MachineSpeed& speed) {
  constexpr double taps = 9;  // of the convolution in the middle of SANA's feed-forward part, on both halves
  const double n = x.rows();
  double layer = 0;
  for (const SiteShape& s : site_shapes(m)) {
    const double rows = s.context ? caption_rows * x.count : n;
    layer += 2 * rows * s.in * s.out / speed.linear_at(s.in);
  }
  layer += n * (4 * m.hidden + m.query_width() + m.kv_width()) * speed.row_work + n * m.feed_forward * speed.gate;
  if (m.makes_images() && m.gated) layer += n * 2 * taps * m.feed_forward * speed.row_work;
  return m.layers * layer + 4 * attended(m, x) / speed.attention;
}

double head_pass(const ModelShape& m, const SequenceShape& x, const MachineSpeed& speed) {
  return x.rows() * (2 * m.head_weights() / speed.linear_at(m.hidden) + m.vocabulary * speed.exponential);
}

// Not measured on grids: the same sums along a line. Packets split nodes as Haar does, and as many at most twice over.
std::string measured_as(const std::string& transform) {
  if (transform == "haar_packets") return "haar";
  return transform.ends_with("2d") ? transform.substr(0, transform.size() - 2) : transform;
}

// One value through transform, grid and back.
double per_quantized_value(const TrialSpec& s, const Catalog& catalog, const ModelShape& m, bool transformed,
                           const MachineSpeed& speed) {
  const double n = evaluated(s, m).length, rounding = speed.quantizer_at("identity");
  if (!transformed) return rounding;
  // A basis of a slot is a dense product each way.
  if (dense_transform(s, catalog)) return rounding + 2 * 2 * n / speed.linear_at(n);
  // An upper end where slots choose: all get the slowest one.
  if (transform_per_slot(s)) {
    double slowest = rounding;
    for (const std::string& name : candidate_transforms(s, m))
      slowest = std::max(slowest, speed.quantizer_at(measured_as(name)));
    return slowest;
  }
  return speed.quantizer_at(measured_as(s.quantization.sequence.transform));
}

// What a method leaves to do at run time, a token and layer.
double online_work(const TrialSpec& s, const ModelShape& m, const MachineSpeed& speed) {
  const std::string& method = s.quantization.method;
  double token = 0;
  if (rotates_inputs(s, m)) token += input_values(m) * speed.hadamard;
  // The mean, taken off and given back.
  if (method == "hadanorm" || shifts_inputs(s.quantization)) token += 2 * input_values(m) * speed.row_work;
  if (method == "svdquant")
    for (const SiteShape& site : site_shapes(m))
      if (!site.context)
        token += 2 * method_option(s, "rank", 32) * (site.in + site.out) / speed.linear_at(site.in) +
                 site.in * speed.row_work;
  if (rotates_residual(s, m)) {
    token += (m.query_width() + m.feed_forward) * speed.hadamard;
    if (cache_on(s)) token += (m.query_width() + m.kv_width()) * speed.hadamard;
  }
  return token;
}

// Every slot through its transform, its grid and back.
double slots_pass(const TrialSpec& s, const Catalog& catalog, const ModelShape& m, const MachineSpeed& speed) {
  const double more = keeps_statistics(s) ? speed.statistics : 0;
  double token = 0;
  if (activations_on(s)) token += input_values(m) * (per_quantized_value(s, catalog, m, true, speed) + more);
  if (cache_on(s) && !m.makes_images())
    token += 2 * m.kv_width() * (per_quantized_value(s, catalog, m, s.quantization.kv_cache.transformed, speed) + more);
  const SequenceShape x = evaluated(s, m);
  // Text that is quantized too is rounded as it is.
  double text = 0;
  if (activations_on(s) && s.quantization.activations.text && m.cross_width > 0)
    text = caption_rows * x.count * m.hidden * (per_quantized_value(s, catalog, m, false, speed) + more);
  return m.layers * (x.rows() * token + text);
}

double online_pass(const TrialSpec& s, const ModelShape& m, const MachineSpeed& speed) {
  return m.layers * evaluated(s, m).rows() * online_work(s, m, speed);
}

double quantizer_pass(const TrialSpec& s, const Catalog& catalog, const ModelShape& m, const MachineSpeed& speed) {
  return online_pass(s, m, speed) + slots_pass(s, catalog, m, speed);
}

// Of one item: the rows of every slot under each candidate.
double candidates_pass(const TrialSpec& s, const Catalog& catalog, const ModelShape& m, const MachineSpeed& speed) {
  double seconds = online_pass(s, m, speed);
  TrialSpec one = s;
  for (const std::string& name : candidate_transforms(s, m)) {
    one.quantization.sequence.transform = name;
    seconds += slots_pass(one, catalog, m, speed);
  }
  return seconds;
}

double rotation_work(const TrialSpec& s, const ModelShape& m, const MachineSpeed& speed) {
  const double h = m.hidden, q = m.query_width();
  const auto folded = [&](double weights, double width) {
    return width > dense_rotation ? weights * speed.hadamard : 2 * weights * width / speed.double_product;
  };
  double layer = 0;
  if (rotates_inputs(s, m)) {
    for (const SiteShape& site : site_shapes(m)) layer += folded(site.in * site.out, site.in);
    return m.layers * layer;
  }
  if (!rotates_residual(s, m)) return 0;
  for (const SiteShape& site : site_shapes(m)) layer += folded(site.in * site.out, h);  // all meet the residual stream
  layer += folded(q * h, q) + folded(m.kv_width() * h, m.head_dim) + folded(m.feed_forward * h, m.feed_forward);
  return m.layers * layer + folded(m.head_weights(), h);
}

// SVDQuant: every pair of exponents decomposes the weights roughly, rounds them and multiplies some rows; then the
// winner is decomposed exactly, in double, until the error grows. Specification methods 9.2.
double splitting_work(const TrialSpec& s, const ModelShape& m, const MachineSpeed& speed) {
  constexpr double repeats = 4;           // until the error grows, mostly
  constexpr double quick = 6, full = 25;  // products of the decomposition, in units of weights x rank, x shorter side
  const double rank = method_option(s, "rank", 32), rows = method_option(s, "rows", 512);
  const double pairs = 2 * method_option(s, "grid", 20) - 1;
  double layer = 0;
  for (const SiteShape& site : site_shapes(m)) {
    const double weights = site.in * site.out, product = 2 * rows * weights / speed.linear_at(site.in);
    const double once = weights * (speed.rounding + 4 * speed.load) + product;
    layer += pairs * (once + quick * weights * rank / speed.double_product) +
             repeats * (once + full * weights * std::min(site.in, site.out) / speed.double_product);
  }
  return m.layers * layer;
}

// GPTQ's own arithmetic beside the passes over its items: half of a Hessian of every site, its inverse and two factors
// in double, and the columns one after the other. Specification methods 4.
double solver_work(const ModelShape& m, double tokens, const MachineSpeed& speed) {
  double layer = 0;
  for (const SiteShape& s : site_shapes(m))
    layer += tokens * s.in * s.in / speed.linear_at(s.in) + 4.0 / 3 * s.in * s.in * s.in / speed.double_product +
             2 * s.in * s.in * s.out / speed.linear_at(s.in);
  return m.layers * layer;
}

// Training of a method, in passes over the blocks: back-propagation costs two, and what is not kept is computed again.
// An upper end where the training is kept already. Specification methods 7, 8.
double training_work(const TrialSpec& s, const ModelShape& m, const MachineSpeed& speed) {
  const Json& o = s.quantization.method_options;
  const std::string& method = s.quantization.method;
  const auto number = [&](const char* key) { return o.at(key).get<double>(); };
  if (method == "spinquant" && o.at("learn").get<bool>()) {
    const double sequences = number("steps") * number("batch"), tokens = number("tokens");
    return sequences * (4 * blocks_pass(m, {tokens, 1}, speed) + 3 * head_pass(m, {tokens, 1}, speed));
  }
  if (method == "flatquant" && number("epochs") > 0) {
    const auto context = static_cast<double>(s.calibration.context);
    const double tokens = number("tokens") > 0 ? std::min(number("tokens"), context) : context;
    const double sequences = static_cast<double>(s.calibration.samples) * std::floor(context / tokens);
    return sequences * (2 + 3 * number("epochs")) * blocks_pass(m, {tokens, 1}, speed);
  }
  return 0;
}

double weights_work(const TrialSpec& s, const ModelShape& m, const MachineSpeed& speed) {
  const double body = m.layers * m.block_weights();
  double seconds = m.all_weights() * (speed.load + speed.pack) + rotation_work(s, m, speed);
  if (s.quantization.method == "svdquant") seconds += splitting_work(s, m, speed);
  if (s.quantization.method == "smoothquant") seconds += body * speed.load;  // one more walk over every weight
  if (weights_on(s)) seconds += body * (s.quantization.weights.clip_search ? speed.clip_search : speed.rounding);
  return seconds;
}

}  // namespace

double sum(const Parts& parts) {
  double total = 0;
  for (const auto& [name, value] : parts) total += value;
  return total;
}

Parts trial_seconds(const TrialSpec& spec, const Catalog& catalog, const ModelShape& m, const TrialWork& work,
                    const MachineSpeed& speed) {
  const SequenceShape x = evaluated(spec, m), calibration = calibrated(spec, m);
  const auto samples = static_cast<double>(spec.calibration.samples);
  const double plain_weights = m.all_weights() * (speed.load + speed.pack);
  const double pass = blocks_pass(m, x, speed) + head_pass(m, x, speed);
  const double calibration_pass = samples * blocks_pass(m, calibration, speed);
  const double to_the_end = calibration_pass + samples * head_pass(m, calibration, speed);
  Parts parts;
  // Images that calibration takes its items from are made in the same phase.
  const double reference_passes = (work.reference ? work.reference_items.value_or(work.items) : 0) + work.made_items;
  const bool reference = work.reference || work.made_items > 0;
  if (reference) parts.emplace_back("reference", plain_weights + reference_passes * pass);
  double calibrate = 0;
  // A pass of the untouched network, whose head runs too; the largest magnitudes cost one look at every value.
  if (work.maxima) calibrate += to_the_end + (reference ? 0 : plain_weights);
  if (work.means) calibrate += to_the_end;
  // Energies of every level of a packet tree, all slots in one pass.
  const bool chosen = transform_per_slot(spec);  // their bits come from the same energies
  if (work.bases && chosen) calibrate += to_the_end + samples * candidates_pass(spec, catalog, m, speed);
  if (work.bases && !chosen && !dense_transform(spec, catalog))
    calibrate += to_the_end + samples * quantizer_pass(spec, catalog, m, speed);
  if (work.bases && dense_transform(spec, catalog)) {
    const double n = x.length;
    const double slots = m.layers * quantized_slots(spec, m);
    const double caches = m.makes_images() || !cache_on(spec) ? 0 : 2 * m.kv_width();
    const double values = m.layers * (input_values(m) * (activations_on(spec) ? 1 : 0) + caches);
    const double at_once = std::max(1.0, std::floor(basis_budget / (f32 * n * n)));
    calibrate += std::ceil(slots / at_once) * to_the_end + samples * x.count * values * 2 * n * n / speed.linear_at(n) +
                 slots * n * n * n * speed.eigen;
  }
  if (work.energies && !chosen) calibrate += to_the_end + samples * quantizer_pass(spec, catalog, m, speed);
  if (calibrate > 0) parts.emplace_back("calibrate", calibrate);
  if (work.prepare) {
    double prepare = weights_work(spec, m, speed);
    if (calibrated_weights(spec, catalog))
      prepare += calibration_pass + solver_work(m, samples * calibration.rows(), speed);
    // The untouched block goes along with the items, and what its sites read is looked at. Training counts its own.
    const double training = training_work(spec, m, speed);
    prepare += training > 0 || !reads_block_inputs(spec, catalog) ? training : 2 * calibration_pass;
    parts.emplace_back("prepare", prepare);
  }
  parts.emplace_back("run", work.items * (pass + quantizer_pass(spec, catalog, m, speed)));
  return parts;
}

bool runs_streamed(const ModelSpec& model, const ModelShape& shape, double available_bytes) {
  if (model.streamed) return *model.streamed;
  if (!shape.known() || available_bytes <= 0) return false;
  return f32 * shape.all_weights() > 2.0 / 3 * available_bytes;
}

}  // namespace stamp
