// Orthonormal transforms along the sequence: T = L X, X tokens x features. Paper section 3; specification methods 2.3.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/matrix.h"
#include "base/plugin.h"

namespace stamp {

class BlockwiseTransform;

class SequenceTransform {
 public:
  virtual ~SequenceTransform() = default;
  virtual std::int64_t tokens() const = 0;  // s
  // In place on x (tokens() rows, any number of columns); rows come out low frequency first. One thread unless
  // `whole()`; thread-safe. `scratch` holds scratch_floats(x.cols) floats.
  virtual void forward(MatrixView x, float* scratch) const = 0;
  virtual void inverse(MatrixView x, float* scratch) const = 0;
  virtual std::size_t scratch_floats(std::int64_t columns) const = 0;
  // True: the transform wants all columns at once and threads itself (a dense product). False: the driver
  // splits columns into tiles that stay in the cache, one thread each.
  virtual bool whole() const { return false; }
  virtual bool is_identity() const { return false; }
  // Not null when L is block-diagonal up to the order of its rows, which lets a driver finish one block of tokens,
  // all columns, before it touches the next.
  virtual const BlockwiseTransform* blockwise() const { return nullptr; }
  // Slow obvious twin: the dense matrix, s x s row-major, in double, built from the defining formula and never
  // from forward().
  virtual std::vector<double> matrix() const = 0;
};

// The block view of a transform that never mixes tokens of different blocks of consecutive tokens (identity; Haar
// with J levels: 2^J tokens a block). All functions are thread-safe.
class BlockwiseTransform {
 public:
  virtual ~BlockwiseTransform() = default;
  virtual std::int64_t blocks() const = 0;
  virtual std::int64_t block_begin(std::int64_t block) const = 0;  // first token; block_begin(blocks()) = tokens
  // Transformed row of the full transform that a block leaves in the place of `token`.
  virtual std::int64_t output_row(std::int64_t token) const = 0;
  // x: the block's tokens x d; t: as many rows, t.stride a multiple of the vector width (base/vector_width.h) and >= d
  // rounded up to one. Local row p of t becomes row output_row(block_begin + p) of L X; columns d.. up to the next
  // multiple of the width become zero.
  virtual void forward_block(std::int64_t block, ConstMatrixView x, MatrixView t) const = 0;
  // Inverse of forward_block; t is overwritten. `stream`: write around the caches (out.data 64-byte aligned,
  // out.stride and d multiples of 16).
  virtual void inverse_block(std::int64_t block, MatrixView t, MatrixView out, bool stream) const = 0;
};

// What a factory gets. `options` are complete (base/plugin.h). `basis` is the calibrated s x s basis (rows = basis
// vectors, for klt), null for the others; `gemm` is used by dense transforms.
struct SequenceTransformRequest {
  std::int64_t tokens = 0;  // s, without the skipped ones
  // k, for `levels: auto`: rows at high bits among these `tokens` rows, so without the skipped ones too
  // (64 high tokens and skip_first 1: 63). 0 = none; the published 64 is assumed then.
  std::int64_t high_tokens = 0;
  std::int64_t grid_height = 0, grid_width = 0;  // images; 0 = a plain sequence
  Json options = Json::object();
  std::shared_ptr<const std::vector<float>> basis;
  Gemm gemm = plain_gemm;
};

struct SequenceTransformPlugin {
  PluginInfo info;
  std::unique_ptr<SequenceTransform> (*make)(const SequenceTransformRequest&);
};
const std::vector<SequenceTransformPlugin>& sequence_transforms();  // transforms/register.cpp: one line each
// Is the transform made from a calibrated basis? False for unknown names: making one says what is wrong with them.
bool needs_basis(const std::string& name);
// TrialError when the name is unknown or the request is refused.
std::unique_ptr<SequenceTransform> make_sequence_transform(const std::string& name, const SequenceTransformRequest&);

// L = diag(I_skip, inner): the first tokens pass untouched and stay the first rows (specification methods 2.7).
std::unique_ptr<SequenceTransform> skip_first(std::int64_t skip, std::unique_ptr<SequenceTransform> inner);

// Threaded drivers over column tiles.
void transform_forward(const SequenceTransform& l, MatrixView x);
void transform_inverse(const SequenceTransform& l, MatrixView x);

}  // namespace stamp
