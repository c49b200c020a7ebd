// What `generate` and `sample` share: the settings of a single trial from a command line, and the worker's way with a
// request.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/plugin.h"
#include "config/schema.h"
#include "config/spec.h"

namespace stamp {

struct OneTrial {
  std::string verb;                    // "generate", for messages
  std::string evaluate;                // a metric whose settings matter here
  std::string model, method;           // as given; no method: full precision until --set says otherwise
  std::vector<std::string> overrides;  // of --set
  std::vector<std::string> sections;   // of an experiment file that the verb reads: others are refused in --set
  std::string hint;                    // what to use instead, behind the list of them
};
// A model is a YAML file, a name of configs/models, or a path. With a method the defaults of experiment files hold: 4
// bits everywhere. ConfigError, also for settings that would sweep; warnings are said.
TrialSpec trial_of(const OneTrial& wanted, const Catalog& catalog, std::shared_ptr<const Schema>& schema);

// Where the checkpoint lies that a verb was given: what trial_of would open. ConfigError as there.
std::string model_path(const std::string& model, const std::string& verb, const Catalog& catalog);

// What it is when nobody reads the worker's stdout any more and SIGPIPE ends it. A text that somebody has read enough
// of is done; images that were still to come are missing.
enum class ReaderGone { done, fault };
// Runs the worker's half of `verb` on `request`, with its data on our stdout. Its exit code, or `interrupted` where a
// signal came to us; Error where the worker ended without a code.
ExitCode run_in_worker(const std::string& verb, const Json& request, ReaderGone reader_gone);

}  // namespace stamp
