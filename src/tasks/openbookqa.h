// OpenBookQA without its book. Mihaylov et al. 2018, arXiv:1809.02789; lm-evaluation-harness openbookqa.
#pragma once
#include "tasks/task.h"

namespace stamp {
TaskPlugin openbookqa_task();
}  // namespace stamp
