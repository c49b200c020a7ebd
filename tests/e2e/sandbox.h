// A folder with a tiny model, a text and an experiment, and the programs run in it.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "support/scratch.h"
#include "sweep/frozen.h"

namespace stamp::test {

struct Ended {
  int code = -1;  // exit code, or -1 when a signal ended it
  int signal = 0;
  std::string out, err;
};

class Sandbox {
 public:
  Sandbox();  // experiment.yaml: methods rtn, smoothquant x transforms identity, haar, dct
  const std::filesystem::path& path() const { return scratch_.path(); }
  std::filesystem::path run_folder() const { return path() / "runs" / "tiny"; }
  void write(const std::string& name, const std::string& text) const { spill(path() / name, text); }

  // The front program in this folder, with the fake worker; waits for its end.
  Ended stamp(const std::vector<std::string>& arguments,
              const std::map<std::string, std::string>& environment = {}) const;
  // No file may grow beyond so many bytes: writes fail in the middle, as on a full disk.
  Ended stamp_limited(const std::vector<std::string>& arguments, std::uint64_t bytes) const;
  // The same without waiting.
  pid_t start(const std::vector<std::string>& arguments, const std::map<std::string, std::string>& environment = {},
              std::uint64_t file_limit = 0) const;
  Ended wait(pid_t pid) const;

  std::vector<std::string> ids() const;  // of the frozen plan
  ReadRecords records() const { return RunStore(run_folder()).read(); }

 private:
  Scratch scratch_;
};

extern const char* const experiment_text;
bool contains(const std::string& text, const std::string& part);
std::size_t count(const std::string& text, const std::string& part);
void write_tiny_model(const std::filesystem::path& folder);  // a llama of one layer, safetensors

}  // namespace stamp::test
