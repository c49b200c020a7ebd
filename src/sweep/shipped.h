// The experiments that come with the program: experiments/FOLDER/*.yaml, each by the name of its run.
#pragma once
#include <string>
#include <vector>

#include "base/files.h"

namespace stamp {

struct ShippedExperiment {
  std::string name;   // `name` of the file, which is also that of its run folder and of its committed result
  fs::path file;      // experiments/llm_table2/gemma-3-270m.yaml
  fs::path expected;  // sweep.yaml has expected.yaml, NAME.yaml has NAME_expected.yaml beside it; empty without one
};

// All of them by name. Pieces that others extend and files of expectations are left out; a file that cannot be read is
// listed under its folder's name, so that whoever asks for it is told what is wrong with it. DataError: no such folder.
// Figures of one model are no expectations of another's, so a folder's expected.yaml is that of its sweep.yaml alone.
std::vector<ShippedExperiment> shipped_experiments(const fs::path& folder);

// ConfigError with the nearest name, and with all of them.
const ShippedExperiment& find_shipped(const std::vector<ShippedExperiment>& all, const std::string& name,
                                      const fs::path& folder);

// "${STAMP_LLAMA_3_8B}" -> "STAMP_LLAMA_3_8B": the variable a model's path waits for, "" when it waits for none.
std::string unset_variable(const std::string& path);

}  // namespace stamp
