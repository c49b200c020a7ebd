#include "models/text/prompts.h"

#include <stdexcept>

#include "base/error.h"
#include "base/files.h"
#include "base/sha256.h"
#include "formats/utf8.h"
#include "tokenizer/normalize.h"

namespace stamp {

std::string plain_caption(std::string_view text) {
  NormalizeStep strip;
  strip.kind = NormalizeStep::Kind::strip;
  strip.text = "lr";
  std::vector<NormalizeStep> steps;
  steps.push_back(std::move(strip));
  return normalized(lower_case(repaired_utf8(text)), steps);
}

TokenIds prompt_ids(const Tokenizer& tokenizer, std::string_view text, std::int64_t most) {
  if (most < 2) throw std::logic_error("a prompt has two tokens or more");
  TokenIds ids = tokenizer.encode(text, true);
  if (static_cast<std::int64_t>(ids.size()) <= most) return ids;
  const std::int32_t last = ids.back();
  ids.resize(static_cast<std::size_t>(most));
  ids.back() = last;
  return ids;
}

std::string sana_instruction(const std::filesystem::path& path) {
  constexpr const char* kKnown = "48290080bb4fd4a264bdc81d0647ac0221359a36506e2b3e954616d6cb48c3da";
  constexpr const char* kHow = "scripts/sana_instruction.py writes it from an installed diffusers library";
  if (!std::filesystem::is_regular_file(path))
    throw DataError(path.string() + ": the instruction that SANA's prompts begin with is not there; " + kHow);
  std::string text = read_file(path, 1 << 20);
  if (!text.empty() && text.back() == '\n') text.pop_back();
  if (const std::string found = sha256_hex(text); found != kKnown)
    throw DataError(path.string() + ": is not the instruction that SANA's prompts begin with: its SHA-256 is " + found +
                    ", expected " + kKnown + "; " + kHow);
  return text;
}

SanaPrompt sana_prompt(const Tokenizer& tokenizer, const std::string& instruction, std::string_view text,
                       std::int64_t most) {
  if (most < 2) throw std::logic_error("a prompt has two tokens or more");
  SanaPrompt prompt;
  std::int64_t length = most;
  if (!instruction.empty()) {
    const auto own = static_cast<std::int64_t>(tokenizer.encode(instruction, true).size());
    length = own + most - 2;
    prompt.first_kept = own - 1;
  }
  prompt.ids = tokenizer.encode(instruction + plain_caption(text), true);
  if (static_cast<std::int64_t>(prompt.ids.size()) > length) prompt.ids.resize(static_cast<std::size_t>(length));
  if (prompt.ids.empty()) throw DataError("the prompt has no tokens: the tokenizer puts none in front of a text");
  return prompt;
}

}  // namespace stamp
