// Everything that can be named in an experiment file, as both programs know it. No LibTorch.
#pragma once
#include "base/plugin.h"

namespace stamp {
Catalog make_catalog();
}  // namespace stamp
