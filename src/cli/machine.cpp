#include "cli/machine.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/files.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/sha256.h"
#include "cli/terminal.h"
#include "cli/worker_process.h"
#include "results/provenance.h"

namespace stamp {

namespace {

fs::path kept_speed() {
  const ThreadChoice threads = chosen_threads();
  Json key = hardware_provenance();
  key["threads"] = threads.variable.empty() ? "" : std::to_string(threads.number);
  return cache_folder() / "speed" / (sha256_hex(key.dump()).substr(0, 32) + ".json");
}

MachineSpeed read_speed(const fs::path& file) {
  std::error_code ec;
  if (!fs::exists(file, ec)) return {};
  try {
    return machine_speed_from_json(Json::parse(read_file(file, 1 << 20), nullptr, false));
  } catch (const DataError&) {
    return {};
  }
}

}  // namespace

Machine this_machine(Measure measure) {
  Machine machine;
  machine.available_bytes = static_cast<double>(available_memory_bytes());
  const fs::path file = kept_speed();
  machine.speed = read_speed(file);
  if (!machine.speed.known() && measure == Measure::if_unknown) {
    try {
      make_folder(file.parent_path());
      say("measuring this machine's speed, once, some seconds");
      run_worker({worker_program(), {"speed", file.string()}, false}, -1);
      machine.speed = read_speed(file);
    } catch (const Error& error) {
      say(fmt::format("the speed of this machine is not measured: {}", error.what()));
    }
  }
  machine.measured = machine.speed.known();
  if (!machine.measured) machine.speed = assumed_speed();
  return machine;
}

}  // namespace stamp
