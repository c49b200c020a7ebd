// LAMBADA (OpenAI's variant): the last word of a passage. Paperno et al. 2016, arXiv:1606.06031; methods 13.2.
#pragma once
#include "tasks/task.h"

namespace stamp {
TaskPlugin lambada_task();
}  // namespace stamp
