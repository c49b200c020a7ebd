// Any bytes as an experiment file: an experiment or a ConfigError, nothing else. The reader gets an empty catalog: what
// plugins add to the field list is data, not code.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "config/experiment.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const stamp::Catalog catalog;
  try {
    const stamp::Experiment e =
        stamp::parse_experiment(std::string_view(reinterpret_cast<const char*>(data), size), "fuzz.yaml", {}, catalog);
    if (!e.base.model.path.empty()) stamp::trial_id(stamp::apply(e, {}), *e.schema);
  } catch (const stamp::ConfigError&) {
  }
  return 0;
}
