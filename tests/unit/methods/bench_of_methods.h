// A method with block inputs at work on a decoder of the fixtures, fed with the rows of a full-precision twin.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "unit/methods/decoders.h"

namespace stamp::test {

class FixedItems : public Workload {
 public:
  explicit FixedItems(std::vector<std::vector<std::int64_t>> ids) : ids_(std::move(ids)) {}
  std::int64_t count() const override { return static_cast<std::int64_t>(ids_.size()); }
  WorkItem item(std::int64_t i) const override {
    WorkItem item;
    item.inputs["ids"] = tensor_of(ids_[static_cast<std::size_t>(i)]);
    return item;
  }
  std::int64_t tokens_per_item() const override { return static_cast<std::int64_t>(ids_.front().size()); }
  Json description() const override { return {}; }
  std::string protocol() const override { return "test"; }

 private:
  std::vector<std::vector<std::int64_t>> ids_;
};

// The method on every block of `network`; `twin` is the same network, untouched.
inline void apply_with_inputs(const Method& method, Network& network, Network& twin, const Workload& items,
                              MethodContext context) {
  std::vector<at::Tensor> rows;
  for (std::int64_t i = 0; i < items.count(); ++i) rows.push_back(twin.enter(items.item(i)));
  context.calibration = &items;
  context.block_input = [&rows](std::int64_t i) { return rows[static_cast<std::size_t>(i)]; };
  const std::unique_ptr<MethodRun> run = method.start(network, context);
  for (std::size_t block = 0; block < network.blocks(); ++block) {
    run->block(block);
    for (std::int64_t i = 0; i < items.count(); ++i)
      twin.forward(block, rows[static_cast<std::size_t>(i)], items.item(i));
  }
}

}  // namespace stamp::test
