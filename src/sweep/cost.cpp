#include "sweep/cost.h"

#include <algorithm>
#include <cmath>

#include "config/schema.h"

namespace stamp {

namespace {

// Of the code, not of a machine: sizes of the buffers it works with.
constexpr double head_chunk = 16384;     // rows of the output projection at a time
constexpr double logit_rows = 256;       // rows of logits at a time
constexpr double dense_rotation = 8192;  // widths up to which rotations are folded in double
constexpr double rotated_rows = 2048;    // of a weight in double at a time
constexpr double basis_budget = 512.0 * (1 << 20);
constexpr double f32 = 4, f64 = 8;

bool activations_on(const TrialSpec& s) {
  return s.quantization.activations.bits < 16;
}
bool cache_on(const TrialSpec& s) {
  return s.quantization.kv_cache.bits < 16;
}
bool weights_on(const TrialSpec& s) {
  return s.quantization.weights.bits < 16;
}
bool keeps_statistics(const TrialSpec& s) {
  return std::find(s.evaluate.begin(), s.evaluate.end(), "slot_error") != s.evaluate.end();
}
// Methods that fold rotations into the weights and leave Hadamard transforms at the input of o_proj and down_proj.
bool rotates(const TrialSpec& s) {
  const std::string& m = s.quantization.method;
  return m == "quarot" || m == "spinquant";
}
bool calibrated_transform(const TrialSpec& s, const Catalog& catalog) {
  const PluginInfo* info = catalog.find(PluginKind::sequence_transform, s.quantization.sequence.transform);
  return info != nullptr && info->needs_calibration && s.quantization.sequence.transform != "identity";
}
bool calibrated_weights(const TrialSpec& s, const Catalog& catalog) {
  const PluginInfo* info = catalog.find(PluginKind::weight_quantizer, s.quantization.weights.quantizer);
  return weights_on(s) && info != nullptr && info->needs_calibration;
}

// Of the four linear sites of a block: input width, output width of all layers that read it.
struct Site {
  double in, out;
};
std::vector<Site> sites(const ModelShape& m) {
  return {{m.hidden, m.query_width() + 2 * m.kv_width()},
          {m.query_width(), m.hidden},
          {m.hidden, 2 * m.feed_forward},
          {m.feed_forward, m.hidden}};
}

double input_values(const ModelShape& m) {  // of one token and layer that linear slots see
  double sum = 0;
  for (const Site& s : sites(m)) sum += s.in;
  return sum;
}

// Keys that n queries of one sequence see, summed.
double visible_keys(double n, double window) {
  const double w = window > 0 ? std::min(window, n) : n;
  return w * (w + 1) / 2 + (n - w) * w;
}

double blocks_pass(const ModelShape& m, double n, const MachineSpeed& speed) {
  double layer = 0;
  for (const Site& s : sites(m)) layer += 2 * n * s.in * s.out / speed.linear_at(s.in);
  layer += n * (4 * m.hidden + m.query_width() + m.kv_width()) * speed.row_work + n * m.feed_forward * speed.gate;
  const double full = m.layers - m.sliding_layers;
  const double keys = full * visible_keys(n, 0) + m.sliding_layers * visible_keys(n, m.sliding_window);
  return m.layers * layer + 4 * m.query_width() * keys / speed.attention;
}

double head_pass(const ModelShape& m, double n, const MachineSpeed& speed) {
  return n * (2 * m.head_weights() / speed.linear_at(m.hidden) + m.vocabulary * speed.exponential);
}

// One value through transform, grid and back.
double per_quantized_value(const TrialSpec& s, const Catalog& catalog, bool transformed, const MachineSpeed& speed) {
  const auto n = static_cast<double>(s.data.context);
  const double rounding = speed.quantizer_at("identity");
  if (!transformed) return rounding;
  // A basis of a slot is a dense product each way.
  if (calibrated_transform(s, catalog)) return rounding + 2 * 2 * n / speed.linear_at(n);
  return speed.quantizer_at(s.quantization.sequence.transform);
}

double quantizer_pass(const TrialSpec& s, const Catalog& catalog, const ModelShape& m, const MachineSpeed& speed) {
  const auto n = static_cast<double>(s.data.context);
  const double more = keeps_statistics(s) ? speed.statistics : 0;
  double token = 0;
  if (activations_on(s)) token += input_values(m) * (per_quantized_value(s, catalog, true, speed) + more);
  if (cache_on(s))
    token += 2 * m.kv_width() * (per_quantized_value(s, catalog, s.quantization.kv_cache.transformed, speed) + more);
  if (rotates(s)) {
    token += (m.query_width() + m.feed_forward) * speed.hadamard;
    if (cache_on(s)) token += (m.query_width() + m.kv_width()) * speed.hadamard;
  }
  return m.layers * n * token;
}

double rotation_work(const ModelShape& m, const MachineSpeed& speed) {
  const double h = m.hidden, q = m.query_width();
  const auto folded = [&](double weights, double width) {
    return width > dense_rotation ? weights * speed.hadamard : 2 * weights * width / speed.double_product;
  };
  double layer = 0;
  for (const Site& s : sites(m)) layer += folded(s.in * s.out, h);  // all read or write the residual stream
  layer += folded(q * h, q) + folded(m.kv_width() * h, m.head_dim) + folded(m.feed_forward * h, m.feed_forward);
  return m.layers * layer + folded(m.head_weights(), h);
}

// GPTQ's own arithmetic beside the passes over its items: half of a Hessian of every site, its inverse and two factors
// in double, and the columns one after the other. Specification methods 4.
double solver_work(const ModelShape& m, double tokens, const MachineSpeed& speed) {
  double layer = 0;
  for (const Site& s : sites(m))
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
    return sequences * (4 * blocks_pass(m, tokens, speed) + 3 * head_pass(m, tokens, speed));
  }
  if (method == "flatquant" && number("epochs") > 0) {
    const auto context = static_cast<double>(s.calibration.context);
    const double tokens = number("tokens") > 0 ? std::min(number("tokens"), context) : context;
    const double sequences = static_cast<double>(s.calibration.samples) * std::floor(context / tokens);
    return sequences * (2 + 3 * number("epochs")) * blocks_pass(m, tokens, speed);
  }
  return 0;
}

double weights_work(const TrialSpec& s, const ModelShape& m, const MachineSpeed& speed) {
  const double body = m.layers * m.block_weights();
  double seconds = (body + m.head_weights()) * (speed.load + speed.pack);
  if (rotates(s)) seconds += rotation_work(m, speed);
  if (s.quantization.method == "smoothquant") seconds += body * speed.load;  // one more walk over every weight
  if (weights_on(s)) seconds += body * (s.quantization.weights.clip_search ? speed.clip_search : speed.rounding);
  return seconds;
}

double quantized_slots(const TrialSpec& s) {
  return (activations_on(s) ? 4 : 0) + (cache_on(s) && s.quantization.kv_cache.transformed ? 2 : 0);
}

}  // namespace

double ModelShape::block_weights() const {
  double sum = 0;
  for (const Site& s : sites(*this)) sum += s.in * s.out;
  return sum;
}

double ModelShape::largest_weight() const {
  return std::max({feed_forward * hidden, query_width() * hidden, std::min(vocabulary, head_chunk) * hidden});
}

double sum(const Parts& parts) {
  double total = 0;
  for (const auto& [name, value] : parts) total += value;
  return total;
}

Parts trial_seconds(const TrialSpec& spec, const Catalog& catalog, const ModelShape& m, const TrialWork& work,
                    const MachineSpeed& speed) {
  const auto n = static_cast<double>(spec.data.context);
  const auto calibration_tokens = static_cast<double>(spec.calibration.context);
  const auto samples = static_cast<double>(spec.calibration.samples);
  const double plain_weights = (m.layers * m.block_weights() + m.head_weights()) * (speed.load + speed.pack);
  const double calibration_pass = samples * blocks_pass(m, calibration_tokens, speed);
  Parts parts;
  if (work.reference)
    parts.emplace_back("reference", plain_weights + work.items * (blocks_pass(m, n, speed) + head_pass(m, n, speed)));
  double calibrate = 0;
  // A pass of the untouched network, whose head runs too; the largest magnitudes cost one look at every value.
  if (work.maxima)
    calibrate +=
        calibration_pass + samples * head_pass(m, calibration_tokens, speed) + (work.reference ? 0 : plain_weights);
  if (work.bases) {
    const double slots = m.layers * quantized_slots(spec);
    const double values =
        m.layers * (input_values(m) * (activations_on(spec) ? 1 : 0) + 2 * m.kv_width() * (cache_on(spec) ? 1 : 0));
    const double at_once = std::max(1.0, std::floor(basis_budget / (f32 * n * n)));
    calibrate += std::ceil(slots / at_once) * (calibration_pass + samples * head_pass(m, calibration_tokens, speed)) +
                 samples * values * 2 * n * n / speed.linear_at(n) + slots * n * n * n * speed.eigen;
  }
  if (work.energies)
    calibrate += calibration_pass + samples * head_pass(m, calibration_tokens, speed) +
                 samples * quantizer_pass(spec, catalog, m, speed);
  if (calibrate > 0) parts.emplace_back("calibrate", calibrate);
  if (work.prepare) {
    double prepare = weights_work(spec, m, speed);
    if (calibrated_weights(spec, catalog))
      prepare += calibration_pass + solver_work(m, samples * calibration_tokens, speed);
    prepare += training_work(spec, m, speed);
    parts.emplace_back("prepare", prepare);
  }
  parts.emplace_back("run", work.items * (blocks_pass(m, n, speed) + head_pass(m, n, speed) +
                                          quantizer_pass(spec, catalog, m, speed)));
  return parts;
}

namespace {

// Beside the weights of a block while one item runs through it.
double pass_bytes(const TrialSpec& s, const ModelShape& m) {
  const double n = static_cast<double>(std::max(s.data.context, s.calibration.context));
  // Residual stream and its normed copy; gate and up with the input that made them, or queries, keys and values.
  const double rows = n * (m.hidden + std::max(m.hidden + 2 * m.feed_forward, 2 * m.query_width() + 2 * m.kv_width()));
  // The quantizer's transformed copy of its widest slot.
  const double transformed = activations_on(s) ? n * std::max(m.feed_forward, m.hidden) : 0;
  const double logits = logit_rows * std::min(m.vocabulary, head_chunk);
  return f32 * (std::max(rows + transformed, n * m.hidden + logits));
}

// Dense rotations in double.
double rotation_bytes(const TrialSpec& s, const ModelShape& m) {
  if (!rotates(s)) return 0;
  double matrices = 0;
  for (const double width : {m.hidden, m.query_width(), m.head_dim, m.feed_forward})
    if (width <= dense_rotation) matrices += f64 * width * width;
  return matrices;
}

// Weights in double while they are rotated, before and after: some rows where inputs turn, all of down_proj where the
// outputs do.
double turning_bytes(const TrialSpec& s, const ModelShape& m) {
  if (!rotates(s) || m.hidden > dense_rotation) return 0;
  return 2 * f64 * std::max(rotated_rows * m.hidden, m.hidden * m.feed_forward);
}

// GPTQ: a state for every item, and of one site the Hessian, its inverse and their factors: 28 bytes a value.
double solver_bytes(const TrialSpec& s, const Catalog& catalog, const ModelShape& m) {
  if (!calibrated_weights(s, catalog)) return 0;
  const double rows = static_cast<double>(s.calibration.samples) * static_cast<double>(s.calibration.context);
  const double widest = std::max({m.hidden, m.query_width(), m.feed_forward});
  return f32 * rows * (m.hidden + widest) + (f32 + 3 * f64) * widest * widest;
}

double bases_bytes(const TrialSpec& s, const Catalog& catalog, const ModelShape& m, bool streamed) {
  if (!calibrated_transform(s, catalog)) return 0;
  const auto n = static_cast<double>(s.data.context);
  const double slots = quantized_slots(s) * (streamed ? 1 : m.layers);
  const double matrix = f32 * n * n;
  // Sums of many slots at a time, then the eigenproblem of one in double; afterwards bases with their transposes.
  const double measuring = std::min(slots * matrix, std::max(basis_budget, matrix)) + 4 * f64 * n * n;
  return std::max(measuring, std::min(2 * slots * matrix, std::max(basis_budget, 2 * matrix)));
}

// Stores of hidden rows of a streamed trial: what stays in memory under the budget, and one item of what does not.
double hidden_bytes(const TrialSpec& s, const Catalog& catalog, const ModelShape& m, double items) {
  const double item = f32 * static_cast<double>(s.data.context) * m.hidden;
  const double sample = f32 * static_cast<double>(s.calibration.context) * m.hidden;
  const double samples = needs_calibration(s, catalog) ? static_cast<double>(s.calibration.samples) : 0;
  const double all = 2 * items * item + 2 * samples * sample;
  return std::min(all, s.model.rows_memory_gb * 1e9 + item + sample);
}

}  // namespace

Parts trial_memory(const TrialSpec& s, const Catalog& catalog, const ModelShape& m, double items, bool streamed,
                   double program_bytes) {
  Parts parts{{"program", program_bytes}};
  const double block = f32 * m.block_weights(), chunk = f32 * std::min(m.vocabulary, head_chunk) * m.hidden;
  // The packed copy of the largest weight before the plain one goes, or the file's pages while it is read.
  const double packing = f32 * m.largest_weight();
  if (streamed) {
    parts.emplace_back("hidden rows", hidden_bytes(s, catalog, m, items));
    const double changing = std::max(packing, turning_bytes(s, m)), rotations = rotation_bytes(s, m);
    const double preparing = block + changing + rotations, running = block + pass_bytes(s, m) + rotations;
    const double leaving = 2 * chunk + pass_bytes(s, m) + rotations;
    if (leaving > std::max(preparing, running)) {
      parts.emplace_back("head", 2 * chunk);
      parts.emplace_back("rows at work", pass_bytes(s, m));
    } else if (preparing > running) {
      parts.emplace_back("one block", block);
      parts.emplace_back(changing > packing ? "weights turning" : "packing", changing);
    } else {
      parts.emplace_back("one block", block);
      parts.emplace_back("rows at work", pass_bytes(s, m));
    }
    if (rotations > 0) parts.emplace_back("rotations", rotations);
  } else {
    parts.emplace_back("weights", m.layers * block + f32 * m.head_weights());
    const double preparing = std::max(packing, turning_bytes(s, m)) + rotation_bytes(s, m), running = pass_bytes(s, m);
    parts.emplace_back(preparing > running ? "preparing" : "rows at work", std::max(preparing, running));
  }
  if (const double solver = solver_bytes(s, catalog, m); solver > 0) parts.emplace_back("weight calibration", solver);
  if (const double bases = bases_bytes(s, catalog, m, streamed); bases > 0) parts.emplace_back("bases", bases);
  return parts;
}

bool runs_streamed(const ModelSpec& model, const ModelShape& shape, double available_bytes) {
  if (model.streamed) return *model.streamed;
  if (!shape.known() || available_bytes <= 0) return false;
  return f32 * (shape.layers * shape.block_weights() + shape.head_weights()) > 2.0 / 3 * available_bytes;
}

ModelShape shape_of(const Json& description) {
  ModelShape shape;
  const auto number = [](const Json& json, const char* key) {
    const auto it = json.find(key);
    return it != json.end() && it->is_number() ? it->get<double>() : 0;
  };
  const auto found = description.find("dimensions");
  if (found == description.end() || !found->is_object()) return shape;
  shape.layers = number(*found, "layers");
  shape.hidden = number(*found, "hidden");
  shape.feed_forward = number(*found, "feed_forward");
  shape.heads = number(*found, "heads");
  shape.kv_heads = number(*found, "kv_heads");
  shape.head_dim = number(*found, "head_dim");
  shape.vocabulary = number(*found, "vocabulary");
  shape.sliding_layers = number(description, "sliding_layers");
  shape.sliding_window = number(description, "sliding_window");
  return shape;
}

}  // namespace stamp
