// The inputs of a fixture as work items of a workload: both samples together, as with guidance, or one by one.
#pragma once
#include <string>
#include <utility>

#include "models/diffusion/conditions.h"
#include "unit/diffusion/diffusion_fixture.h"

namespace stamp::test {

class FixtureItems : public Workload {
 public:
  FixtureItems(const DiffusionSource& source, bool together) : source_(source), together_(together) {}
  std::int64_t count() const override { return together_ ? 1 : item_of(source_.checkpoint()).inputs["latent"].size(0); }
  WorkItem item(std::int64_t i) const override {
    WorkItem item = item_of(source_.checkpoint(), together_ ? -1 : i);
    item.index = i;
    item.segments = image_segments(item, image_shape(item, source_.config()));
    return item;
  }
  std::int64_t tokens_per_item() const override { return item(0).segments.front().rows; }  // of a sample
  std::int64_t grid_width() const override { return item(0).segments.front().width; }
  Json description() const override { return {}; }
  std::string protocol() const override { return "fixture"; }

 private:
  const DiffusionSource& source_;
  bool together_;
};

}  // namespace stamp::test
