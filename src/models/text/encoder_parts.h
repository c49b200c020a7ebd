// What encoders of texts and images are made of. Specification: models 8.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "base/matrix.h"
#include "formats/checkpoint.h"
#include "images/image.h"

namespace stamp {

// Rows first .. first + count of a matrix, in place.
MatrixView part_of(at::Tensor& matrix, std::int64_t first, std::int64_t count);

struct NormWeights {
  at::Tensor weight, bias;
  void apply(const at::Tensor& x, at::Tensor& out, double eps) const;  // layer norm; `out` may be x
};
struct AffineWeights {
  at::Tensor weight, bias;  // the first packed
  at::Tensor of(const at::Tensor& x) const;
};
// `name`.weight and `name`.bias of exactly these sizes. DataError: missing, of another shape.
NormWeights load_layer_norm(const Checkpoint& checkpoint, const std::string& name, std::int64_t width);
AffineWeights load_affine(const Checkpoint& checkpoint, const std::string& name, std::int64_t to, std::int64_t from);

// Mean and deviation of CLIP's training images taken off: 3 x height x width floats, planes first.
std::vector<float> clip_normalized(const ByteImage& image);
// Images (rows of 3 side side floats, planes first) cut into squares of `patch`, which divides `side`: a row of
// 3 patch patch floats for each, image after image, line by line.
at::Tensor patch_rows(const at::Tensor& pixels, std::int64_t side, std::int64_t patch);

}  // namespace stamp
