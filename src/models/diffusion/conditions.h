// What a work item of a diffusion transformer says besides its latent: sizes, timestep, text. Specification models 9 to
// 12.
#pragma once
#include <ATen/core/Tensor.h>

#include <deque>
#include <vector>

#include "models/diffusion/diffusion_source.h"
#include "models/network.h"

namespace stamp {

// The tokens of an item: samples below each other, each a grid of rows x columns, row by row.
struct ImageShape {
  std::int64_t samples = 0, height = 0, width = 0;  // of the latent
  std::int64_t rows = 0, columns = 0;               // of the grid of patches
  std::int64_t tokens() const { return rows * columns; }
};
// From "latent", samples x channels x height x width. DataError for sides that the patch does not divide and, in DiT,
// for sides that differ; std::logic_error for a latent of another type or number of channels.
ImageShape image_shape(const WorkItem& item, const DiffusionConfig& config);
// One segment a sample; the item's own where it has some (std::logic_error unless they are the samples).
Segments image_segments(const WorkItem& item, const ImageShape& shape);
// Rows of the text that every sample attends to: those that "text_mask" (samples x T, int64, 0 = padding) keeps, all
// where there is no mask. Padding has no weight in the references either: exp(-10000) is 0 (models 9). DataError for a
// sample without any.
Segments text_segments(const WorkItem& item, const DiffusionConfig& config, std::int64_t samples);

// Vectors that all blocks of one network share. Remembers what it made of the last few items, since every step of every
// block asks again.
class Conditioner {
 public:
  struct Time {
    at::Tensor embedded;    // samples x D
    at::Tensor modulation;  // samples x 6 D, of all blocks; undefined in DiT, where every block has its own
  };
  explicit Conditioner(const DiffusionSource& source);
  virtual ~Conditioner() = default;
  Conditioner(const Conditioner&) = delete;
  Conditioner& operator=(const Conditioner&) = delete;

  // From "timestep", float32 (samples), and what else the model takes.
  Time time(const WorkItem& item, std::int64_t samples);
  // The projected text without its padding, rows of text_segments() x D, from "text", float32 (samples x T x
  // caption_channels). Recognised by the tensor itself: do not write to a "text" through a raw pointer once it was
  // seen.
  at::Tensor context(const WorkItem& item, std::int64_t samples);
  virtual void pack();
  // The numbers an embedding is made of: timesteps of all samples, then the others.
  virtual std::vector<float> numbers(const WorkItem& item, std::int64_t samples) const = 0;

 protected:
  virtual Time make(const std::vector<float>& numbers, std::int64_t samples) const = 0;
  // Values of a float32 input of so many elements, std::logic_error otherwise.
  static void append(std::vector<float>& to, const WorkItem& item, const char* name, std::int64_t elements);
  const DiffusionConfig& config_;

 private:
  struct KnownTime {
    std::vector<float> numbers;
    Time time;
  };
  struct KnownText {
    at::Tensor text, mask;
    std::int64_t text_version = 0, mask_version = 0;
    at::Tensor context;
  };
  at::Tensor project(const WorkItem& item, std::int64_t samples) const;

  Affine caption_[2];
  at::Tensor caption_norm_;  // SANA
  std::deque<KnownTime> times_;
  std::deque<KnownText> texts_;
};

}  // namespace stamp
