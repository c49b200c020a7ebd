// The sequence transforms, in the order they are listed to users: one line each.
#include "transforms/blocks.h"
#include "transforms/dct.h"
#include "transforms/dct2d.h"
#include "transforms/haar.h"
#include "transforms/haar2d.h"
#include "transforms/haar_packets.h"
#include "transforms/identity.h"
#include "transforms/klt.h"
#include "transforms/sequence_transform.h"
#include "transforms/wavelet.h"
#include "transforms/wht.h"

namespace stamp {

const std::vector<SequenceTransformPlugin>& sequence_transforms() {
  static const std::vector<SequenceTransformPlugin> list{
      identity_plugin(),   haar_plugin(),    dct_plugin(),          wht_plugin(),
      klt_plugin(),        haar2d_plugin(),  dct2d_plugin(),        haar_blocks_plugin(),
      dct_blocks_plugin(), wavelet_plugin(), haar_packets_plugin(),
  };
  return list;
}

}  // namespace stamp
