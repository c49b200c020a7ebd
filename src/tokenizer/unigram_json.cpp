// The Unigram model of tokenizer.json. Specification: models 4.6.
#include <cmath>

#include "formats/utf8.h"
#include "tokenizer/json_node.h"

namespace stamp {

void read_unigram(const Node& node, TokenizerSettings& settings) {
  settings.model = TokenizerSettings::Model::unigram;
  settings.fuse_unknown = true;
  settings.byte_fallback = node["byte_fallback"].flag(false);
  StringMap<std::size_t> seen;
  for (const Node& entry : node["vocab"].items()) {
    const std::vector<Node> parts = entry.items();
    if (parts.size() != 2) entry.fail("must be a piece and its score");
    std::string text = parts[0].text();
    if (text.empty() || !is_utf8(text)) parts[0].fail("must be text that is not empty");
    if (!parts[1].json().is_number()) parts[1].fail("must be a number");
    const auto score = parts[1].json().get<float>();
    if (!std::isfinite(score)) parts[1].fail("must be a finite number");
    const auto [other, fresh] = seen.emplace(text, settings.spellings.size());
    if (!fresh) entry.fail("has the text of piece " + std::to_string(other->second));
    settings.spellings.push_back(std::move(text));
    settings.scores.push_back(score);
  }
  settings.uses.assign(settings.spellings.size(), TokenizerSettings::Use::entry);
  if (const Node unknown = node["unk_id"]; !unknown.null()) {
    const std::int64_t id = unknown.integer();
    if (id < 0 || id >= static_cast<std::int64_t>(settings.spellings.size()))
      unknown.fail("is " + std::to_string(id) + ", outside the vocabulary of " +
                   std::to_string(settings.spellings.size()));
    settings.unknown = static_cast<std::int32_t>(id);
  }
}

}  // namespace stamp
