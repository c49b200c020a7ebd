// WinoGrande: whom does the blank mean? Sakaguchi et al. 2019, arXiv:1907.10641; specification methods 13.2.
#pragma once
#include "tasks/task.h"

namespace stamp {
TaskPlugin winogrande_task();
}  // namespace stamp
