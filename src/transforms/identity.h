// L = I: tokens stay as they are. The control of every table (specification methods 2.3 f).
#pragma once
#include "transforms/sequence_transform.h"

namespace stamp {
SequenceTransformPlugin identity_plugin();
}
