#include "sweep/model_shape.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace stamp {
namespace {

constexpr double head_chunk = 16384;      // rows of the output projection at a time
constexpr double inputs_of_an_image = 4;  // that calibration takes from each image made for it

double number(const Json& json, const char* key) {
  const auto it = json.find(key);
  return it != json.end() && it->is_number() ? it->get<double>() : 0;
}

// Latent pixels to image pixels, by the channels of the latent: pixels themselves, DC-AE, AutoencoderKL.
double pixels_of_latent(double channels) {
  return channels == 3 ? 1 : channels == 32 ? 32 : 8;
}

void read_diffusion(const Json& description, const Json& dimensions, ModelShape& shape) {
  const std::string architecture = description.value("architecture", "");
  const bool sana = architecture.rfind("Sana", 0) == 0;
  shape.kv_heads = shape.heads;
  shape.tokens = number(dimensions, "tokens");
  shape.token_pixels = number(dimensions, "patch_size") * pixels_of_latent(number(dimensions, "in_channels"));
  shape.cross_width = number(dimensions, "cross_heads") * number(dimensions, "cross_head_dim");
  shape.caption_channels = number(dimensions, "caption_channels");
  shape.gated = shape.linear_attention = sana;
  shape.embeds_guidance = description.value("guidance_embeds", false);
  const bool classes = dimensions.contains("classes");
  if (classes) shape.modulation = 6 * shape.hidden * shape.hidden;
  shape.steps = shape.embeds_guidance ? 2 : classes ? 50 : 20;
  const double blocks = shape.layers * (shape.block_weights() + shape.modulation);
  shape.outside = std::max(0.0, number(description, "parameters") - blocks);
}

}  // namespace

ModelShape shape_of(const Json& description) {
  ModelShape shape;
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
  if (found->contains("patch_size")) read_diffusion(description, *found, shape);
  return shape;
}

std::vector<SiteShape> site_shapes(const ModelShape& m) {
  std::vector<SiteShape> sites{{m.hidden, m.query_width() + 2 * m.kv_width()}, {m.query_width(), m.hidden}};
  if (m.cross_width > 0) {
    sites.push_back({m.hidden, 2 * m.cross_width, true});
    sites.push_back({m.hidden, m.cross_width});
    sites.push_back({m.cross_width, m.hidden});
  }
  sites.push_back({m.hidden, (m.gated ? 2 : 1) * m.feed_forward});
  sites.push_back({m.feed_forward, m.hidden});
  return sites;
}

double input_values(const ModelShape& m) {
  double sum = 0;
  for (const SiteShape& s : site_shapes(m))
    if (!s.context) sum += s.in;
  return sum;
}

double ModelShape::block_weights() const {
  double sum = 0;
  for (const SiteShape& s : site_shapes(*this)) sum += s.in * s.out;
  return sum;
}

double ModelShape::largest_weight() const {
  if (makes_images()) return std::max((gated ? 2 : 1) * feed_forward * hidden, modulation);
  return std::max({feed_forward * hidden, query_width() * hidden, std::min(vocabulary, head_chunk) * hidden});
}

SequenceShape evaluated(const TrialSpec& s, const ModelShape& m) {
  if (!m.makes_images()) return {static_cast<double>(s.data.context), 1};
  const bool guided = !m.embeds_guidance && s.images.guidance.value_or(4) > 1;
  if (!s.images.height && !s.images.width) return {m.tokens, guided ? 2.0 : 1.0};
  const double side = std::sqrt(m.tokens);
  const auto along = [&](const std::optional<std::int64_t>& pixels) {
    return pixels ? std::max(1.0, static_cast<double>(*pixels) / m.token_pixels) : side;
  };
  return {along(s.images.height) * along(s.images.width), guided ? 2.0 : 1.0};
}

SequenceShape calibrated(const TrialSpec& s, const ModelShape& m) {
  return m.makes_images() ? evaluated(s, m) : SequenceShape{static_cast<double>(s.calibration.context), 1};
}

double denoising_steps(const TrialSpec& s, const ModelShape& m) {
  return s.images.steps ? static_cast<double>(*s.images.steps) : m.steps;
}

double calibration_images(const TrialSpec& s, const ModelShape& m) {
  return std::ceil(static_cast<double>(s.calibration.samples) / std::min(inputs_of_an_image, denoising_steps(s, m)));
}

}  // namespace stamp
