// Memory of a trial, counted from its structure.
#include <algorithm>
#include <set>
#include <vector>

#include "sweep/cost.h"
#include "sweep/cost_terms.h"

namespace stamp {

using namespace cost;

namespace {

// Values of one token that are alive at once in the widest place of a block.
double widest_token(const ModelShape& m) {
  if (!m.makes_images())
    return m.hidden + std::max(m.hidden + 2 * m.feed_forward, 2 * m.query_width() + 2 * m.kv_width());
  // Residual stream; the feed-forward part with its input, or what its convolution reads and writes; queries, keys and
  // values with theirs.
  const double inner = m.gated ? 3 * m.feed_forward : m.hidden + m.feed_forward;
  return m.hidden + std::max(inner, m.hidden + 3 * m.query_width());
}

// Beside the weights of a block while one item runs through it.
double pass_bytes(const TrialSpec& s, const ModelShape& m) {
  const double n = std::max(evaluated(s, m).rows(), calibrated(s, m).rows());
  const double rows = n * widest_token(m);
  // The quantizer's transformed copy of its widest slot.
  const double transformed = activations_on(s) ? n * std::max(m.feed_forward, m.hidden) : 0;
  const double logits = logit_rows * std::min(m.vocabulary, head_chunk);
  return f32 * (std::max(rows + transformed, n * m.hidden + logits));
}

// Dense rotations in double.
double rotation_bytes(const TrialSpec& s, const ModelShape& m) {
  std::vector<double> widths;
  if (rotates_residual(s, m)) widths = {m.hidden, m.query_width(), m.head_dim, m.feed_forward};
  if (rotates_inputs(s, m)) {
    std::set<double> distinct;
    for (const SiteShape& site : site_shapes(m)) distinct.insert(site.in);
    widths.assign(distinct.begin(), distinct.end());
  }
  double matrices = 0;
  for (const double width : widths)
    if (width <= dense_rotation) matrices += f64 * width * width;
  return matrices;
}

// Weights in double while they are changed, before and after: some rows where inputs turn, all of down_proj where the
// outputs do; with what the decomposition of SVDQuant makes of the largest.
double turning_bytes(const TrialSpec& s, const ModelShape& m) {
  if (s.quantization.method == "svdquant") {
    double largest = 0;
    for (const SiteShape& site : site_shapes(m)) largest = std::max(largest, site.in * site.out);
    return (2 * f32 + 4 * f64) * largest;
  }
  if (rotates_inputs(s, m)) return 2 * f64 * rotated_rows * std::max(m.hidden, m.feed_forward);
  if (!rotates_residual(s, m) || m.hidden > dense_rotation) return 0;
  return 2 * f64 * std::max(rotated_rows * m.hidden, m.hidden * m.feed_forward);
}

// Rows of the untouched model before and after the block, for methods that look at them; trained ones have stores.
double block_input_bytes(const TrialSpec& s, const Catalog& catalog, const ModelShape& m) {
  if (!reads_block_inputs(s, catalog)) return 0;
  return 2 * f32 * static_cast<double>(s.calibration.samples) * calibrated(s, m).rows() * m.hidden;
}

// Texts of all prompts as the encoder left them, and those of nothing that guidance leads away from.
double condition_bytes(const TrialSpec& s, const ModelShape& m) {
  const double prompts = static_cast<double>(s.images.count);
  return f32 * prompts * evaluated(s, m).count * caption_rows * m.caption_channels;
}

// GPTQ: a state for every item, and of one site the Hessian, its inverse and their factors: 28 bytes a value.
double solver_bytes(const TrialSpec& s, const Catalog& catalog, const ModelShape& m) {
  if (!calibrated_weights(s, catalog)) return 0;
  const double rows = static_cast<double>(s.calibration.samples) * calibrated(s, m).rows();
  const double widest = std::max({m.hidden, m.query_width(), m.feed_forward});
  return f32 * rows * (m.hidden + widest) + (f32 + 3 * f64) * widest * widest;
}

double bases_bytes(const TrialSpec& s, const Catalog& catalog, const ModelShape& m, bool streamed) {
  if (!dense_transform(s, catalog)) return 0;  // those of packets are two numbers a token
  const double n = evaluated(s, m).length;
  const double slots = quantized_slots(s, m) * (streamed ? 1 : m.layers);
  const double matrix = f32 * n * n;
  // Sums of many slots at a time, then the eigenproblem of one in double; afterwards bases with their transposes.
  const double measuring = std::min(slots * matrix, std::max(basis_budget, matrix)) + 4 * f64 * n * n;
  return std::max(measuring, std::min(2 * slots * matrix, std::max(basis_budget, 2 * matrix)));
}

// Energies and ranges of every slot's rows under each candidate, until all slots have chosen.
double candidate_bytes(const TrialSpec& s, const ModelShape& m) {
  if (!transform_per_slot(s)) return 0;
  const auto candidates = static_cast<double>(candidate_transforms(s, m).size());
  return 2 * f64 * evaluated(s, m).length * candidates * quantized_slots(s, m) * m.layers;
}

// Stores of hidden rows of a streamed trial: what stays in memory under the budget, and one item of what does not.
double hidden_bytes(const TrialSpec& s, const Catalog& catalog, const ModelShape& m, double items) {
  const double item = f32 * evaluated(s, m).rows() * m.hidden;
  const double sample = f32 * calibrated(s, m).rows() * m.hidden;
  const double samples = needs_calibration(s, catalog) ? static_cast<double>(s.calibration.samples) : 0;
  const double all = 2 * items * item + 2 * samples * sample;
  return std::min(all, s.model.rows_memory_gb * 1e9 + item + sample);
}

}  // namespace

Parts trial_memory(const TrialSpec& s, const Catalog& catalog, const ModelShape& m, double items, bool streamed,
                   double program_bytes) {
  Parts parts{{"program", program_bytes}};
  const double block = f32 * (m.block_weights() + m.modulation),
               chunk = f32 * std::min(m.vocabulary, head_chunk) * m.hidden;
  // The packed copy of the largest weight before the plain one goes, or the file's pages while it is read.
  const double packing = f32 * m.largest_weight();
  if (const double conditions = condition_bytes(s, m); conditions > 0) parts.emplace_back("conditions", conditions);
  if (streamed) {
    if (m.outside > 0) parts.emplace_back("outside the blocks", f32 * m.outside);
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
    parts.emplace_back("weights", f32 * m.all_weights());
    const double preparing = std::max(packing, turning_bytes(s, m)) + rotation_bytes(s, m), running = pass_bytes(s, m);
    parts.emplace_back(preparing > running ? "preparing" : "rows at work", std::max(preparing, running));
  }
  if (const double solver = solver_bytes(s, catalog, m); solver > 0) parts.emplace_back("weight calibration", solver);
  if (const double inputs = block_input_bytes(s, catalog, m); inputs > 0) parts.emplace_back("block inputs", inputs);
  if (const double bases = bases_bytes(s, catalog, m, streamed); bases > 0) parts.emplace_back("bases", bases);
  if (const double rows = candidate_bytes(s, m); rows > 0) parts.emplace_back("row energies", rows);
  return parts;
}

}  // namespace stamp
