// Work items that the full-precision network makes itself, such as the inputs along the way from noise to an image.
#pragma once
#include <functional>
#include <string>
#include <string_view>

#include "models/network.h"

namespace stamp {

class GeneratedWorkload : public Workload {
 public:
  // Makes the items; until then count() is known and item() is a std::logic_error. `step` after each of `total` pieces.
  // A network that is walked block by block has no block loaded before and after.
  virtual void generate(Network& full_precision, bool streamed,
                        const std::function<void(std::int64_t done, std::int64_t total)>& step) = 0;
  virtual bool generated() const = 0;
  // What the trial's items lead to, images of denoising steps: a workload of its own that the network under test makes,
  // beside what the full-precision one made. `reference`: hands out the latter as if it had been made. Not before
  // generated(). Null where there is nothing beyond the items.
  virtual std::unique_ptr<Workload> results(bool reference) const = 0;
  virtual std::vector<std::string> warnings() const = 0;  // of generate()
  // What generate() made, for the cache, and back; false where the bytes are not of these items.
  virtual std::string state() const = 0;
  virtual bool restore(std::string_view bytes) = 0;
};

}  // namespace stamp
