// A network of one block for tests: what most toys leave empty is empty here. Weights are there from the start and
// stay.
#pragma once
#include <vector>

#include "models/network.h"

namespace stamp::test {

class ToyNetwork : public Network {
 public:
  std::vector<LinearSite*> linear_sites() override { return {}; }
  std::vector<CacheSite*> cache_sites() override { return {}; }
  std::size_t blocks() const override { return 1; }
  std::vector<LinearSite*> block_sites(std::size_t) override { return linear_sites(); }
  void load(std::size_t) override {}
  void release(std::size_t) override {}
  using Network::pack;
  void pack(std::size_t) override {}
  void pack_ends() override {}
};

}  // namespace stamp::test
