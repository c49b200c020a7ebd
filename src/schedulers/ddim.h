// DDIM without added noise (eta = 0). J. Song et al., 2021 (arXiv 2010.02502), equation 12. Specification models 14.4.
#pragma once
#include "schedulers/scheduler.h"

namespace stamp {
SchedulerPlugin ddim_plugin();
}
