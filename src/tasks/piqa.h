// PIQA: which of two ways reaches a goal? Bisk et al. 2020, arXiv:1911.11641; specification methods 13.2.
#pragma once
#include "tasks/task.h"

namespace stamp {
TaskPlugin piqa_task();
}  // namespace stamp
