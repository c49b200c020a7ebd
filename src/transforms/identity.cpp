#include "transforms/identity.h"

#include <algorithm>

#include "transforms/rows.h"

namespace stamp {
namespace {

class Identity final : public SequenceTransform, public BlockwiseTransform {
 public:
  explicit Identity(std::int64_t tokens) : tokens_(tokens) {}
  std::int64_t tokens() const override { return tokens_; }
  void forward(MatrixView, float*) const override {}
  void inverse(MatrixView, float*) const override {}
  std::size_t scratch_floats(std::int64_t) const override { return 0; }
  bool is_identity() const override { return true; }
  const BlockwiseTransform* blockwise() const override { return this; }
  std::vector<double> matrix() const override {
    std::vector<double> m(static_cast<std::size_t>(tokens_ * tokens_), 0.0);
    for (std::int64_t i = 0; i < tokens_; ++i) m[static_cast<std::size_t>(i * tokens_ + i)] = 1.0;
    return m;
  }

  std::int64_t blocks() const override { return (tokens_ + block_tokens - 1) / block_tokens; }
  std::int64_t block_begin(std::int64_t block) const override { return std::min(block * block_tokens, tokens_); }
  std::int64_t output_row(std::int64_t token) const override { return token; }
  void forward_block(std::int64_t, ConstMatrixView x, MatrixView t) const override { copy_rows_padded(x, t); }
  void inverse_block(std::int64_t, MatrixView t, MatrixView out, bool stream) const override {
    copy_rows_out(t, out, stream);
  }

 private:
  static constexpr std::int64_t block_tokens = 16;
  std::int64_t tokens_;
};

}  // namespace

SequenceTransformPlugin identity_plugin() {
  PluginInfo info;
  info.name = "identity";
  info.summary = "leaves the tokens as they are; the first ones may still get more bits";
  info.source = "STaMP (arXiv 2510.26771), baseline rows; specification methods 2.3 f";
  info.cost = "nothing";
  return {info, [](const SequenceTransformRequest& r) -> std::unique_ptr<SequenceTransform> {
            return std::make_unique<Identity>(r.tokens);
          }};
}

}  // namespace stamp
