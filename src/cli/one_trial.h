// What `generate` and `sample` share: the settings of a single trial from a command line, and a request that travels to
// the worker.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "base/plugin.h"
#include "config/schema.h"
#include "config/spec.h"

namespace stamp {

struct OneTrial {
  std::string verb;                    // "generate", for messages
  std::string evaluate;                // a metric whose settings matter here
  std::string model, method;           // as given; no method: full precision until --set says otherwise
  std::vector<std::string> overrides;  // of --set
};
// A model is a YAML file, a name of configs/models, or a path. With a method the defaults of experiment files hold: 4
// bits everywhere. ConfigError, also for settings that would sweep; warnings are said.
TrialSpec trial_of(const OneTrial& wanted, const Catalog& catalog, std::shared_ptr<const Schema>& schema);

// A file without a name that the child finds under /dev/fd: a prompt may be longer than an argument can be, and nothing
// is left behind whatever happens to either process.
class HandedOver {
 public:
  explicit HandedOver(const std::string& text);
  ~HandedOver();
  HandedOver(const HandedOver&) = delete;
  HandedOver& operator=(const HandedOver&) = delete;
  int descriptor() const { return fd_; }
  std::string path() const;

 private:
  int fd_;
};

}  // namespace stamp
