// Euler steps of flow matching. P. Esser et al., 2024 (arXiv 2403.03206). Specification models 14.3.
#pragma once
#include "schedulers/scheduler.h"

namespace stamp {
SchedulerPlugin flow_match_euler_plugin();
}
