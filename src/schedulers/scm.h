// Sampling of continuous-time consistency models in TrigFlow's angles (SANA-Sprint). C. Lu, Y. Song, 2024
// (arXiv 2410.11081). Specification models 14.5.
#pragma once
#include "schedulers/scheduler.h"

namespace stamp {
SchedulerPlugin scm_plugin();
}
