#include "transforms/basis_measure.h"

#include "transforms/haar_packets.h"

namespace stamp {

const BasisPlugin* measured_basis(const std::string& transform) {
  static const std::vector<BasisPlugin> list{haar_packets_basis()};
  for (const BasisPlugin& plugin : list)
    if (plugin.transform == transform) return &plugin;
  return nullptr;
}

}  // namespace stamp
