// The sequence transforms, in the order they are listed to users: one line each.
#include "transforms/blocks.h"
#include "transforms/dct.h"
#include "transforms/dct2d.h"
#include "transforms/haar.h"
#include "transforms/haar2d.h"
#include "transforms/haar_packets.h"
#include "transforms/identity.h"
#include "transforms/klt.h"
#include "transforms/per_slot.h"
#include "transforms/sequence_transform.h"
#include "transforms/wavelet.h"
#include "transforms/wht.h"

namespace stamp {

namespace {

std::vector<SequenceTransformPlugin> single_transforms() {
  return {
      identity_plugin(),   haar_plugin(),    dct_plugin(),          wht_plugin(),
      klt_plugin(),        haar2d_plugin(),  dct2d_plugin(),        haar_blocks_plugin(),
      dct_blocks_plugin(), wavelet_plugin(), haar_packets_plugin(),
  };
}

}  // namespace

const std::vector<SequenceTransformPlugin>& sequence_transforms() {
  static const std::vector<SequenceTransformPlugin> list = [] {
    std::vector<SequenceTransformPlugin> all = single_transforms();
    all.push_back(per_slot_plugin(all));  // chooses among the others
    return all;
  }();
  return list;
}

}  // namespace stamp
