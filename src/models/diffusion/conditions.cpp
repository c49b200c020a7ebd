#include "models/diffusion/conditions.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "base/error.h"
#include "models/kernels/elementwise.h"
#include "models/kernels/image_rows.h"
#include "models/tensors.h"

namespace stamp {
namespace {

// Items whose conditions are kept: more than a few would hold a text of megabytes each.
constexpr std::size_t kept = 8;
constexpr float caption_norm_eps = 1e-5f;

const at::Tensor* input(const WorkItem& item, const char* name) {
  const auto found = item.inputs.find(name);
  return found == item.inputs.end() ? nullptr : &found->second;
}

std::int64_t version(const at::Tensor& tensor) {
  return tensor.defined() && !tensor.is_inference() ? static_cast<std::int64_t>(tensor._version()) : 0;
}

bool is_same(const at::Tensor& a, const at::Tensor& b) {
  return a.defined() == b.defined() && (!a.defined() || a.is_same(b));
}

const at::Tensor& text_of(const WorkItem& item, const DiffusionConfig& config, std::int64_t samples) {
  const at::Tensor* text = input(item, "text");
  if (!text || text->dim() != 3 || text->scalar_type() != at::kFloat || text->size(0) != samples || text->size(1) < 1)
    throw std::logic_error(config.architecture + " needs \"text\", float32, samples x tokens x channels");
  if (text->size(2) != config.caption_channels)
    throw DataError(config.architecture + ": the text has " + std::to_string(text->size(2)) +
                    " channels, the model reads " + std::to_string(config.caption_channels) + " (caption_channels)");
  return *text;
}

// Which text tokens of a sample are kept, by index.
std::vector<std::int64_t> kept_tokens(const WorkItem& item, std::int64_t sample, std::int64_t tokens,
                                      std::int64_t samples) {
  std::vector<std::int64_t> out;
  const at::Tensor* given = input(item, "text_mask");
  if (given &&
      (given->dim() != 2 || given->scalar_type() != at::kLong || given->size(0) != samples || given->size(1) != tokens))
    throw std::logic_error("\"text_mask\" is int64, samples x tokens of \"text\"");
  const at::Tensor mask = given ? given->contiguous() : at::Tensor();
  const std::int64_t* values = mask.defined() ? mask.const_data_ptr<std::int64_t>() + sample * tokens : nullptr;
  for (std::int64_t i = 0; i < tokens; ++i)
    if (!values || values[i] != 0) out.push_back(i);
  if (out.empty())
    throw DataError("text_mask: sample " + std::to_string(sample) + " of item " + std::to_string(item.index) +
                    " keeps none of its " + std::to_string(tokens) + " tokens; at least one has to be kept");
  return out;
}

}  // namespace

ImageShape image_shape(const WorkItem& item, const DiffusionConfig& config) {
  const at::Tensor* latent = input(item, "latent");
  if (!latent || latent->dim() != 4 || latent->scalar_type() != at::kFloat || latent->size(0) < 1 ||
      latent->size(1) != config.in_channels)
    throw std::logic_error(config.architecture + " needs \"latent\", float32, samples x " +
                           std::to_string(config.in_channels) + " x height x width");
  ImageShape shape;
  shape.samples = latent->size(0);
  shape.height = latent->size(2);
  shape.width = latent->size(3);
  const std::string sides = "a latent of " + std::to_string(shape.height) + " x " + std::to_string(shape.width);
  const std::int64_t p = config.patch_size;
  if (shape.height < p || shape.width < p || shape.height % p != 0 || shape.width % p != 0)
    throw DataError(config.architecture + ": " + sides + " does not divide into patches of " + std::to_string(p) +
                    " x " + std::to_string(p) + "; allowed: height and width that are multiples of " +
                    std::to_string(p));
  if (config.kind == DiffusionKind::dit && shape.height != shape.width)
    throw DataError(config.architecture + ": " + sides + " is not square; this model draws squares only");
  shape.rows = shape.height / p;
  shape.columns = shape.width / p;
  return shape;
}

Segments image_segments(const WorkItem& item, const ImageShape& shape) {
  Segments segments = item.segments;
  if (segments.empty()) {
    Segment one;
    one.rows = shape.tokens();
    one.width = shape.columns;
    segments.assign(static_cast<std::size_t>(shape.samples), one);
  }
  const bool fits = static_cast<std::int64_t>(segments.size()) == shape.samples &&
                    std::all_of(segments.begin(), segments.end(), [&](const Segment& s) {
                      return s.rows == shape.tokens() && s.width == shape.columns && s.parent < 0;
                    });
  if (!fits) throw std::logic_error("an image's segments are its samples, each a whole grid");
  return segments;
}

Segments text_segments(const WorkItem& item, const DiffusionConfig& config, std::int64_t samples) {
  const std::int64_t tokens = text_of(item, config, samples).size(1);
  Segments segments;
  for (std::int64_t b = 0; b < samples; ++b) {
    Segment one;
    one.rows = static_cast<std::int64_t>(kept_tokens(item, b, tokens, samples).size());
    segments.push_back(one);
  }
  return segments;
}

Conditioner::Conditioner(const DiffusionSource& source) : config_(source.config()) {
  if (!config_.has_text()) return;
  caption_[0] = Affine(source, "caption_projection.linear_1");
  caption_[1] = Affine(source, "caption_projection.linear_2");
  if (config_.kind == DiffusionKind::sana) caption_norm_ = source.vector("caption_norm.weight");
}

void Conditioner::pack() {
  for (Affine& layer : caption_) layer.pack();
}

void Conditioner::append(std::vector<float>& to, const WorkItem& item, const char* name, std::int64_t elements) {
  const at::Tensor* given = input(item, name);
  if (!given || given->scalar_type() != at::kFloat || given->numel() != elements)
    throw std::logic_error(std::string("the work item needs \"") + name + "\", float32, " + std::to_string(elements) +
                           " numbers");
  const at::Tensor values = given->contiguous();
  to.insert(to.end(), values.const_data_ptr<float>(), values.const_data_ptr<float>() + elements);
}

Conditioner::Time Conditioner::time(const WorkItem& item, std::int64_t samples) {
  std::vector<float> wanted = numbers(item, samples);
  // Compared as bytes, so that a NaN is found again as well.
  const auto found = std::find_if(times_.begin(), times_.end(), [&](const KnownTime& known) {
    return known.numbers.size() == wanted.size() &&
           std::memcmp(known.numbers.data(), wanted.data(), wanted.size() * sizeof(float)) == 0;
  });
  if (found != times_.end()) return found->time;
  KnownTime fresh{wanted, make(wanted, samples)};
  times_.push_back(fresh);
  if (times_.size() > kept) times_.pop_front();
  return fresh.time;
}

at::Tensor Conditioner::context(const WorkItem& item, std::int64_t samples) {
  const at::Tensor& text = text_of(item, config_, samples);
  const at::Tensor* given = input(item, "text_mask");
  const at::Tensor mask = given ? *given : at::Tensor();
  for (const KnownText& known : texts_)
    if (is_same(known.text, text) && is_same(known.mask, mask) && known.text_version == version(text) &&
        known.mask_version == version(mask))
      return known.context;
  KnownText fresh{text, mask, version(text), version(mask), project(item, samples)};
  texts_.push_back(fresh);
  if (texts_.size() > kept) texts_.pop_front();
  return fresh.context;
}

at::Tensor Conditioner::project(const WorkItem& item, std::int64_t samples) const {
  const at::Tensor text = text_of(item, config_, samples).contiguous();
  const std::int64_t tokens = text.size(1), channels = text.size(2);
  std::int64_t rows = 0;
  for (const Segment& segment : text_segments(item, config_, samples)) rows += segment.rows;
  at::Tensor compact = fresh_matrix(rows, channels);
  float* to = compact.data_ptr<float>();
  for (std::int64_t b = 0; b < samples; ++b)
    for (const std::int64_t token : kept_tokens(item, b, tokens, samples)) {
      std::copy_n(text.const_data_ptr<float>() + (b * tokens + token) * channels, channels, to);
      to += channels;
    }
  at::Tensor hidden = caption_[0].forward(compact);
  gelu_tanh(view(hidden));
  at::Tensor out = caption_[1].forward(hidden);
  if (caption_norm_.defined())
    rms_norm(const_view(out), caption_norm_.const_data_ptr<float>(), caption_norm_eps, view(out));
  return out;
}

}  // namespace stamp
