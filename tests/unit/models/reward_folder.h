// The folder that ImageReward is read from, with the tiny model of tests/golden.
#pragma once
#include <filesystem>

#include "formats/checkpoint.h"
#include "formats/json_text.h"
#include "support/paths.h"
#include "support/scratch.h"

namespace stamp::test {

inline void write_image_reward(const std::filesystem::path& folder, const Checkpoint& tiny) {
  const auto golden = repository() / "tests" / "golden";
  std::filesystem::create_directories(folder);
  std::filesystem::copy_file(golden / "image_reward_tiny.safetensors", folder / "model.safetensors");
  spill(folder / "med_config.json", tiny.config().dump());
  const Json words = parse_json(slurp(golden / "wordpiece.json"), "wordpiece.json");
  std::string lines;
  for (const Json& token : words.at("vocabulary")) lines.append(token.get<std::string>()).append("\n");
  spill(folder / "vocab.txt", lines);
}

}  // namespace stamp::test
