// The schedulers, in the order they are listed to users: one line each.
#include "base/error.h"
#include "base/text.h"
#include "schedulers/ddim.h"
#include "schedulers/dpm_solver.h"
#include "schedulers/flow_match_euler.h"
#include "schedulers/scheduler.h"
#include "schedulers/scm.h"
#include "schedulers/settings.h"

namespace stamp {

const std::vector<SchedulerPlugin>& schedulers() {
  static const std::vector<SchedulerPlugin> list{
      dpm_solver_plugin(),
      flow_match_euler_plugin(),
      ddim_plugin(),
      scm_plugin(),
  };
  return list;
}

std::unique_ptr<Scheduler> make_scheduler(const Json& scheduler_config, std::int64_t steps, const std::string& place) {
  const SchedulerSettings settings(scheduler_config, place);
  const auto name = scheduler_config.find("_class_name");
  const std::string given = name != scheduler_config.end() && name->is_string() ? name->get<std::string>() : "";
  std::vector<std::string> names;
  for (const SchedulerPlugin& plugin : schedulers()) {
    names.push_back(plugin.info.name);
    if (plugin.info.name != given) continue;
    std::unique_ptr<Scheduler> made = plugin.make(settings, steps);
    settings.refuse_unread();
    return made;
  }
  settings.refuse("_class_name", given.empty() ? "missing" : "\"" + given + "\"" + did_you_mean(given, names),
                  join(names, ", "));
}

}  // namespace stamp
