#include "engine/basis_pool.h"

#include <algorithm>

namespace stamp {

namespace {

class Lent : public SequenceTransform {
 public:
  Lent(std::shared_ptr<TransformPool> pool, std::string slot, std::int64_t tokens)
      : pool_(std::move(pool)), slot_(std::move(slot)), tokens_(tokens) {}
  std::int64_t tokens() const override { return tokens_; }
  void forward(MatrixView x, float* scratch) const override { pool_->get(slot_)->forward(x, scratch); }
  void inverse(MatrixView x, float* scratch) const override { pool_->get(slot_)->inverse(x, scratch); }
  std::size_t scratch_floats(std::int64_t columns) const override { return pool_->get(slot_)->scratch_floats(columns); }
  bool whole() const override { return pool_->get(slot_)->whole(); }
  std::vector<double> matrix() const override { return pool_->get(slot_)->matrix(); }

 private:
  std::shared_ptr<TransformPool> pool_;
  std::string slot_;
  std::int64_t tokens_;
};

}  // namespace

TransformPool::TransformPool(Make make, std::uint64_t bytes_each, std::uint64_t budget_bytes)
    : make_(std::move(make)),
      capacity_(
          static_cast<std::size_t>(std::max<std::uint64_t>(1, budget_bytes / std::max<std::uint64_t>(1, bytes_each)))) {
}

std::shared_ptr<const SequenceTransform> TransformPool::lend(const std::string& slot, std::int64_t tokens) {
  return std::make_shared<Lent>(shared_from_this(), slot, tokens);
}

std::shared_ptr<const SequenceTransform> TransformPool::get(const std::string& slot) {
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(built_.begin(), built_.end(), [&](const auto& entry) { return entry.first == slot; });
  if (found != built_.end()) return found->second;
  // Slots are visited round and round: dropping the oldest would drop what is needed next, so the newest makes room.
  // It does so first, so that the budget also holds while the next one is being built.
  if (built_.size() >= capacity_) built_.pop_back();
  built_.emplace_back(slot, make_(slot));
  ++builds_;
  return built_.back().second;
}

}  // namespace stamp
