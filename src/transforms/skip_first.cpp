#include <cstring>
#include <stdexcept>

#include "transforms/rows.h"
#include "transforms/sequence_transform.h"

namespace stamp {
namespace {

MatrixView below(MatrixView x, std::int64_t skip) {
  return {x.data + skip * x.stride, x.rows - skip, x.cols, x.stride};
}

class SkipFirst final : public SequenceTransform, public BlockwiseTransform {
 public:
  SkipFirst(std::int64_t skip, std::unique_ptr<SequenceTransform> inner) : skip_(skip), inner_(std::move(inner)) {}
  std::int64_t tokens() const override { return skip_ + inner_->tokens(); }
  void forward(MatrixView x, float* scratch) const override { inner_->forward(below(x, skip_), scratch); }
  void inverse(MatrixView x, float* scratch) const override { inner_->inverse(below(x, skip_), scratch); }
  std::size_t scratch_floats(std::int64_t columns) const override { return inner_->scratch_floats(columns); }
  bool whole() const override { return inner_->whole(); }
  bool is_identity() const override { return inner_->is_identity(); }
  const BlockwiseTransform* blockwise() const override { return inner_->blockwise() ? this : nullptr; }
  std::vector<double> matrix() const override {
    const std::int64_t s = tokens(), n = inner_->tokens();
    const std::vector<double> inside = inner_->matrix();
    std::vector<double> m(static_cast<std::size_t>(s * s), 0.0);
    for (std::int64_t i = 0; i < skip_; ++i) m[static_cast<std::size_t>(i * s + i)] = 1.0;
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t j = 0; j < n; ++j)
        m[static_cast<std::size_t>((i + skip_) * s + j + skip_)] = inside[static_cast<std::size_t>(i * n + j)];
    return m;
  }

  // The skipped tokens are block 0.
  std::int64_t blocks() const override { return 1 + inner_->blockwise()->blocks(); }
  std::int64_t block_begin(std::int64_t block) const override {
    return block == 0 ? 0 : skip_ + inner_->blockwise()->block_begin(block - 1);
  }
  std::int64_t output_row(std::int64_t token) const override {
    return token < skip_ ? token : skip_ + inner_->blockwise()->output_row(token - skip_);
  }
  void forward_block(std::int64_t block, ConstMatrixView x, MatrixView t) const override {
    if (block == 0)
      copy_rows_padded(x, t);
    else
      inner_->blockwise()->forward_block(block - 1, x, t);
  }
  void inverse_block(std::int64_t block, MatrixView t, MatrixView out, bool stream) const override {
    if (block == 0)
      copy_rows_out(t, out, stream);
    else
      inner_->blockwise()->inverse_block(block - 1, t, out, stream);
  }

 private:
  std::int64_t skip_;
  std::unique_ptr<SequenceTransform> inner_;
};

}  // namespace

std::unique_ptr<SequenceTransform> skip_first(std::int64_t skip, std::unique_ptr<SequenceTransform> inner) {
  if (skip < 0 || !inner) throw std::logic_error("skip_first: needs a transform and skip >= 0");
  if (skip == 0) return inner;
  return std::make_unique<SkipFirst>(skip, std::move(inner));
}

}  // namespace stamp
