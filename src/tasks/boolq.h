// BoolQ: yes or no, given a passage. Clark et al. 2019, arXiv:1905.10044; lm-evaluation-harness super_glue/boolq.
#pragma once
#include "tasks/task.h"

namespace stamp {
TaskPlugin boolq_task();
}  // namespace stamp
