// What the cost of a trial is counted from: the dimensions of a model, and how many rows go through it at once.
#pragma once
#include <vector>

#include "base/json.h"
#include "config/spec.h"

namespace stamp {

// Of a decoder or a diffusion transformer; zeros = unknown.
struct ModelShape {
  double layers = 0, hidden = 0, feed_forward = 0, heads = 0, kv_heads = 0, head_dim = 0, vocabulary = 0;
  double sliding_layers = 0, sliding_window = 0;

  // Of a diffusion transformer alone. `vocabulary` is 0 there.
  double tokens = 0;                             // of an image of the size that the model was trained for; 0: a decoder
  double token_pixels = 0;                       // side of the square of pixels that a token stands for
  double cross_width = 0, caption_channels = 0;  // of cross-attention and of the text encoder; 0: no text
  double modulation = 0;                         // weights of a block that no slot sees
  double outside = 0;                            // weights outside the blocks: embedders, modulation, projections
  double steps = 0;                              // that its pipeline takes where a trial says nothing
  bool gated = true;                             // two feed-forward layers read the same input
  bool linear_attention = false;
  bool embeds_guidance = false;  // as a number: one sample a step, not two

  bool known() const { return layers > 0 && hidden > 0; }
  bool makes_images() const { return tokens > 0; }
  double query_width() const { return heads * head_dim; }
  double kv_width() const { return kv_heads * head_dim; }
  double block_weights() const;  // of the linear sites of one layer
  double head_weights() const { return vocabulary * hidden; }
  double ends_weights() const { return head_weights() + outside; }
  double all_weights() const { return layers * (block_weights() + modulation) + ends_weights(); }
  double largest_weight() const;  // of one linear layer
};

// From the description of a model (models/info); not known() when it has no dimensions.
ModelShape shape_of(const Json& description);

// Of the linear sites of a block: input width, output width of all layers that read it.
struct SiteShape {
  double in, out;
  bool context = false;  // reads the text, not the image's own rows
};
std::vector<SiteShape> site_shapes(const ModelShape& m);
double input_values(const ModelShape& m);  // of one token and layer that linear slots see, a context left out

constexpr double caption_rows = 300;  // of a prompt, at most

// What goes through a network at once.
struct SequenceShape {
  double length = 0;  // tokens of one sequence
  double count = 1;   // sequences of an item: two samples where images are guided
  double rows() const { return length * count; }
};
SequenceShape evaluated(const TrialSpec& spec, const ModelShape& m);
SequenceShape calibrated(const TrialSpec& spec, const ModelShape& m);

// Of a trial of images: denoising steps of one image, and images that are made for calibration's inputs alone.
double denoising_steps(const TrialSpec& spec, const ModelShape& m);
double calibration_images(const TrialSpec& spec, const ModelShape& m);

}  // namespace stamp
