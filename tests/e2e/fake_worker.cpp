// A worker that keeps the protocol of stamp-worker (docs/command-line.md) and computes nothing: a trial's perplexity is
// a function of its id. What goes wrong is told by the environment:
//   FAKE_DELAY_MS      time a trial takes
//   FAKE_FAIL          ids (blank-separated) that fail
//   FAKE_CRASH         ids at which the process dies by SIGSEGV
//   FAKE_EXIT          ids at which the process ends with exit code 9
//   FAKE_TORN          ids at which it dies in the middle of writing the record
//   FAKE_END           exit code of a run that does nothing at all
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "results/provenance.h"
#include "sweep/frozen.h"

using namespace stamp;

namespace {

volatile std::sig_atomic_t stop = 0;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

bool listed(const char* name, const std::string& id) {
  const std::vector<std::string> ids = split(variable(name), ' ');
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

Metric metric(const std::string& name, double value) {
  Metric m;
  m.name = name;
  m.value = value;
  m.over = "windows";
  m.n = 2;
  m.protocol = "fake protocol";
  m.items = {value - 0.5, value + 0.5};
  return m;
}

Record make_record(const FrozenTrial& trial) {
  Record r;
  r.id = trial.id;
  r.status = "done";
  r.spec = trial.spec;
  r.metrics = {metric("perplexity", 20 + static_cast<double>(std::stoull(trial.id, nullptr, 16) % 1000) / 10),
               metric("perplexity_fp", 10)};
  SlotResult slot;
  slot.name = "layers.0.mlp.down_proj.input";
  slot.kind = "linear input";
  slot.high_tokens = 2;
  slot.sums.samples = 1;
  slot.sums.tokens = 8;
  slot.sums.features = 4;
  slot.sums.group = 4;
  slot.sums.row_energy = {8, 7, 6, 5, 4, 3, 2, 1};
  slot.sums.row_error.assign(8, 0.25);
  slot.sums.row_bits = {8, 8, 4, 4, 4, 4, 4, 4};
  slot.sums.signal = 36;
  slot.sums.error = 2;
  slot.sums.b1 = 4;
  slot.sums.b2 = 3;
  slot.sums.b3 = 1;
  slot.sums.b4 = 2.5;
  slot.sums.worst_ratio = 0.5;
  r.slots = {slot};
  r.averages = {{"activation_bits", 4.125}, {"kv_bits", 4.125}, {"weight_bits", 4}};
  r.code = code_provenance();
  r.hardware = hardware_provenance();
  r.threads = 1;
  r.timing_s["evaluate"] = 0.01;
  r.peak_memory_bytes = 1000000;
  r.finished = utc_now();
  return r;
}

int run(const RunStore& store, const std::string& ids_file, bool fail_fast) {
  if (const std::string end = variable("FAKE_END"); !end.empty()) return std::atoi(end.c_str());
  const FrozenPlan plan = read_plan(store.plan_path());
  std::ifstream ids(ids_file);
  bool failed = false;
  for (std::string id; std::getline(ids, id);) {
    if (stop) return 130;
    const FrozenTrial* trial = plan.find(id);
    if (!trial) return 1;
    write_file_atomic(store.running_path(), Json{{"id", id}, {"started", utc_now()}}.dump());
    const auto log = file_log(store.log_path(id).string());
    log->info("trial " + id);
    std::cerr << "fake: " << id << std::endl;
    std::cout << "this must not reach the data" << std::endl;
    if (const std::string delay = variable("FAKE_DELAY_MS"); !delay.empty())
      std::this_thread::sleep_for(std::chrono::milliseconds(std::atoi(delay.c_str())));
    if (listed("FAKE_CRASH", id)) std::raise(SIGSEGV);
    if (listed("FAKE_EXIT", id)) _exit(9);
    Record record = make_record(*trial);
    if (listed("FAKE_TORN", id)) {
      const std::string line = to_json(record).dump();
      std::ofstream(store.records_path(), std::ios::app | std::ios::binary)
          << line.substr(0, line.size() / 2) << std::flush;
      std::raise(SIGKILL);
    }
    if (listed("FAKE_FAIL", id)) {
      record.status = "failed";
      record.metrics.clear();
      record.slots.clear();
      record.failure = Failure{"nan_metric", "perplexity is nan", "evaluate"};
      failed = true;
    }
    store.append(record);
    if (failed && fail_fast) break;
  }
  std::error_code ec;
  fs::remove(store.running_path(), ec);
  return failed ? 3 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGINT, [](int) { stop = 1; });
  std::signal(SIGTERM, [](int) { stop = 1; });
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (!arguments.empty() && arguments[0] == "doctor") {
    std::cout << "fake worker: well" << std::endl;
    return 0;
  }
  if (arguments.size() < 4 || arguments[0] != "run" || arguments[2] != "--ids") return 2;
  if (const std::string threads = variable("STAMP_THREADS"); !threads.empty())
    std::cerr << "threads of the fake: " << threads << std::endl;
  if (const auto at = std::find(arguments.begin(), arguments.end(), "--before"); arguments.end() - at > 1)
    std::cerr << "trials before the fake: " << at[1] << std::endl;
  try {
    return run(RunStore(arguments[1]), arguments[3], arguments.size() > 4 && arguments[4] == "--fail-fast");
  } catch (const Error& error) {
    std::cerr << "fake: " << error.what() << std::endl;
    return static_cast<int>(error.code());
  }
}
