// The output projection of a decoder in pieces of the vocabulary: a piece is read from the checkpoint, changed and
// packed on its own, so that a head of 128,256 x 4096 never lies in memory twice, and in a network that is walked
// through from its file not even once. Losses are summed up over the pieces, in the same order everywhere.
// Specification models 5.1, 6.1.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "formats/checkpoint.h"
#include "models/kernels/token_loss.h"
#include "models/linear.h"
#include "models/network.h"
#include "models/weight_algebra.h"

namespace stamp {

class DecoderHead {
 public:
  // `weight`: V x h. Rows of a piece: a multiple of what a rotation handles at a time.
  static constexpr std::int64_t usual_piece = 16384;
  explicit DecoderHead(const TensorInfo& weight, std::int64_t piece_rows = usual_piece);

  std::int64_t vocabulary() const { return weight_.rows(); }
  std::size_t pieces() const { return held_.size(); }
  std::int64_t first_row(std::size_t piece) const { return static_cast<std::int64_t>(piece) * piece_rows_; }

  // W <- W diag(factors), W <- W R: remembered, and done to a piece when it is read; before any piece is held.
  void scale(std::vector<double> factors);
  void rotate(std::shared_ptr<const FeatureTransform> r);
  bool held() const { return held_.front().defined(); }

  void hold(bool packed);  // all pieces, from now on
  // The piece as held, else read anew (and packed).
  Linear piece(std::size_t i) const;
  at::Tensor logits(const at::Tensor& rows) const;  // n x V
  at::Tensor whole() const;                         // V x h, plain, read anew and changed; for methods that train

 private:
  at::Tensor read(std::size_t piece) const;

  TensorInfo weight_;
  std::int64_t piece_rows_;
  std::vector<std::function<void(at::Tensor&)>> changes_;
  std::vector<Linear> held_;
};

// What a work item wants of the head, collected piece by piece: next-token losses, scores of targets, logits of some
// rows. Inputs of the item as DecoderNetwork documents them.
class HeadOutputs {
 public:
  // `cap`: final logit soft-cap, 0 = none.
  HeadOutputs(const WorkItem& item, std::int64_t vocabulary, float cap);
  // `normed`: all rows of the item behind the final norm. Pieces come in order.
  void add(const at::Tensor& normed, const Linear& piece, std::int64_t first_id);
  Outputs finish();

 private:
  std::int64_t vocabulary_;
  float cap_;
  at::Tensor wanted_, rows_, ids_;  // rows of logits; rows and ids of targets
  bool scored_ = false;             // targets given, rather than every next token
  std::vector<RunningLoss> losses_;
  at::Tensor logits_;
};

}  // namespace stamp
