// Transforms of single slots made from calibrated s x s bases. At 2048 tokens a basis takes 16 MB and a model has
// hundreds of slots: the pool keeps as many built transforms as fit its budget and builds the others again, from the
// cache on disk, when a slot comes round.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "transforms/sequence_transform.h"

namespace stamp {

class TransformPool : public std::enable_shared_from_this<TransformPool> {
 public:
  // `make` builds the transform of a slot; `bytes_each` is what one takes in memory.
  using Make = std::function<std::shared_ptr<const SequenceTransform>(const std::string& slot)>;
  TransformPool(Make make, std::uint64_t bytes_each, std::uint64_t budget_bytes);
  // A transform over `tokens` rows that asks the pool at every use.
  std::shared_ptr<const SequenceTransform> lend(const std::string& slot, std::int64_t tokens);
  std::shared_ptr<const SequenceTransform> get(const std::string& slot);
  std::size_t builds() const { return builds_; }

 private:
  Make make_;
  std::size_t capacity_;
  std::mutex mutex_;
  std::vector<std::pair<std::string, std::shared_ptr<const SequenceTransform>>> built_;
  std::size_t builds_ = 0;
};

}  // namespace stamp
