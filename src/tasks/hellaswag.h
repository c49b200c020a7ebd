// HellaSwag: how does it go on? Zellers et al. 2019, arXiv:1905.07830; specification methods 13.2.
#pragma once
#include "tasks/task.h"

namespace stamp {
TaskPlugin hellaswag_task();
}  // namespace stamp
