// tokenizer.json of Hugging Face's tokenizers library, byte-level BPE families. Specification: models 4.1.
#include <algorithm>

#include "base/error.h"
#include "base/text.h"
#include "tokenizer/byte_level.h"

namespace stamp {
namespace {

const Json kNull;

// A place in tokenizer.json: every read is checked and every message says where.
class Node {
 public:
  Node(const Json& value, std::string path, const std::string& where)
      : value_(value), path_(std::move(path)), where_(where) {}

  [[noreturn]] void fail(const std::string& message) const { throw DataError(where_ + ": " + path_ + " " + message); }
  const Json& json() const { return value_; }
  bool null() const { return value_.is_null(); }
  Node operator[](const char* key) const {
    if (!value_.is_object()) fail("must be an object");
    const auto found = value_.find(key);
    return {found == value_.end() ? kNull : *found, path_ + "." + key, where_};
  }
  std::vector<Node> items() const {
    if (!value_.is_array()) fail("must be a list");
    std::vector<Node> all;
    all.reserve(value_.size());
    for (const Json& item : value_) all.emplace_back(item, path_ + "[" + std::to_string(all.size()) + "]", where_);
    return all;
  }
  std::string text() const {
    if (!value_.is_string()) fail("must be text");
    return value_.get<std::string>();
  }
  bool flag(bool otherwise) const {
    if (null()) return otherwise;
    if (!value_.is_boolean()) fail("must be true or false");
    return value_.get<bool>();
  }
  std::int64_t integer() const {
    if (!value_.is_number_integer()) fail("must be an integer");
    return value_.get<std::int64_t>();
  }

 private:
  const Json& value_;
  std::string path_;
  const std::string& where_;
};

void read_normalizer(const Node& node, ByteLevelSettings& settings) {
  if (node.null()) return;
  const std::string type = node["type"].text();
  if (type == "Sequence") {
    for (const Node& item : node["normalizers"].items()) read_normalizer(item, settings);
  } else if (type == "NFC") {
    settings.nfc = true;
  } else {
    node.fail("is \"" + type + "\"; supported normalizers are NFC and Sequence");
  }
}

SplitStep::Keep keep_of(const Node& node) {
  const std::string behavior = node.text();
  if (behavior == "Isolated") return SplitStep::Keep::isolated;
  if (behavior == "Removed") return SplitStep::Keep::removed;
  if (behavior == "MergedWithPrevious") return SplitStep::Keep::with_previous;
  node.fail("is \"" + behavior + "\"; supported are Isolated, Removed, MergedWithPrevious");
}

// `mapped`: ByteLevel has turned the pieces into byte characters, after which nothing may split them.
void read_pre_tokenizer(const Node& node, ByteLevelSettings& settings, bool& mapped) {
  const std::string type = node["type"].text();
  if (type == "Sequence") {
    for (const Node& item : node["pretokenizers"].items()) read_pre_tokenizer(item, settings, mapped);
    return;
  }
  if (mapped) node.fail("comes after ByteLevel, which must be the last step");
  if (type == "ByteLevel") {
    if (node["add_prefix_space"].flag(true)) node.fail("has add_prefix_space, which is not supported");
    if (node["use_regex"].flag(true))
      settings.steps.push_back({Pattern(pattern_c()), SplitStep::Keep::isolated, false});
    mapped = true;
  } else if (type == "Digits") {
    const bool single = node["individual_digits"].flag(false);
    settings.steps.push_back({Pattern(single ? R"(\p{N})" : R"(\p{N}+)"), SplitStep::Keep::isolated, false});
  } else if (type == "Split") {
    const Node pattern = node["pattern"];
    const bool regex = !pattern["Regex"].null();
    const std::string text = regex ? pattern["Regex"].text() : pattern["String"].text();
    if (text.empty()) pattern.fail("is empty");
    settings.steps.push_back(
        {regex ? Pattern(text) : Pattern::literal(text), keep_of(node["behavior"]), node["invert"].flag(false)});
  } else {
    node.fail("is \"" + type + "\"; supported pre-tokenizers are ByteLevel, Digits, Split and Sequence");
  }
}

void put_spelling(const Node& node, const std::string& spelling, std::int64_t id, std::int64_t limit,
                  ByteLevelSettings& settings) {
  if (id < 0 || id >= limit)
    node.fail("gives \"" + spelling.substr(0, 80) + "\" the id " + std::to_string(id) + ", out of all proportion");
  const auto at = static_cast<std::size_t>(id);
  if (at >= settings.spellings.size()) settings.spellings.resize(at + 1);
  std::string& place = settings.spellings[at];
  if (!place.empty() && place != spelling)
    node.fail("gives the id " + std::to_string(id) + " to both \"" + place.substr(0, 80) + "\" and \"" +
              spelling.substr(0, 80) + "\"");
  place = spelling;
}

void read_model(const Node& node, std::int64_t limit, ByteLevelSettings& settings) {
  const std::string type = node["type"].null() ? "BPE" : node["type"].text();  // old files leave it out
  if (type != "BPE") node.fail("is \"" + type + "\"; supported is byte-level BPE");
  if (node["byte_fallback"].flag(false))
    node.fail("has byte_fallback (SentencePiece-style BPE), which is not supported yet");
  for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"})
    if (const Node value = node[affix]; !value.null() && !value.text().empty()) value.fail("is not supported");
  settings.whole_words = node["ignore_merges"].flag(false);
  const Node vocabulary = node["vocab"];
  if (!vocabulary.json().is_object()) vocabulary.fail("must be an object");
  for (const auto& [spelling, id] : vocabulary.json().items()) {
    if (!id.is_number_integer()) vocabulary.fail("gives \"" + spelling.substr(0, 80) + "\" an id that is no integer");
    put_spelling(vocabulary, spelling, id.get<std::int64_t>(), limit, settings);
  }
  for (const Node& merge : node["merges"].items()) {
    if (merge.json().is_array()) {
      const std::vector<Node> parts = merge.items();
      if (parts.size() != 2) merge.fail("must have two parts");
      settings.merges.emplace_back(parts[0].text(), parts[1].text());
      continue;
    }
    const std::string text = merge.text();
    const std::size_t space = text.find(' ');
    if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos)
      merge.fail("must be two parts with a space between");
    settings.merges.emplace_back(text.substr(0, space), text.substr(space + 1));
  }
}

void read_added(const Node& node, std::int64_t limit, ByteLevelSettings& settings) {
  if (node.null()) return;
  for (const Node& item : node.items()) {
    AddedToken token;
    token.text = item["content"].text();
    token.special = item["special"].flag(false);
    token.normalized = item["normalized"].flag(!token.special);
    token.single_word = item["single_word"].flag(false);
    token.strip_left = item["lstrip"].flag(false);
    token.strip_right = item["rstrip"].flag(false);
    const std::int64_t id = item["id"].integer();
    if (token.text.empty()) item.fail("has no content");
    put_spelling(item, token.text, id, limit, settings);
    token.id = static_cast<std::int32_t>(id);
    settings.added.push_back(std::move(token));
  }
}

std::vector<std::int32_t> template_ids(const Node& processor, const Node& piece, const ByteLevelSettings& settings) {
  std::vector<std::int32_t> ids;
  const std::string name = piece["SpecialToken"]["id"].text();
  const Node tokens = processor["special_tokens"];
  for (const Node& id : tokens[name.c_str()]["ids"].items()) {
    const std::int64_t value = id.integer();
    if (value < 0 || value >= static_cast<std::int64_t>(settings.spellings.size()))
      id.fail("is outside the vocabulary");
    ids.push_back(static_cast<std::int32_t>(value));
  }
  return ids;
}

void read_post_processor(const Node& node, ByteLevelSettings& settings) {
  if (node.null()) return;
  const std::string type = node["type"].text();
  if (type == "Sequence") {
    for (const Node& item : node["processors"].items()) read_post_processor(item, settings);
  } else if (type == "TemplateProcessing") {
    bool seen_text = false;
    for (const Node& piece : node["single"].items()) {
      if (!piece["Sequence"].null()) {
        seen_text = true;
        continue;
      }
      auto& side = seen_text ? settings.after : settings.before;
      const auto ids = template_ids(node, piece, settings);
      side.insert(side.end(), ids.begin(), ids.end());
    }
    if (!seen_text) node["single"].fail("has no place for the text");
  } else if (type != "ByteLevel") {  // which only concerns offsets
    node.fail("is \"" + type + "\"; supported post-processors are TemplateProcessing, ByteLevel and Sequence");
  }
}

}  // namespace

ByteLevelSettings settings_from_json(const Json& tokenizer, const TokenizerSource& source, const std::string& where) {
  const Node root(tokenizer, "$", where);
  ByteLevelSettings settings;
  settings.family = "tokenizer.json";
  const Json& vocabulary = root["model"]["vocab"].json();
  const Json& added = root["added_tokens"].json();
  const auto entries = static_cast<std::int64_t>(vocabulary.size() + added.size());
  const std::int64_t limit = 4 * entries + 1024;  // holes are allowed, absurd ids are not
  read_normalizer(root["normalizer"], settings);
  bool mapped = false;
  if (const Node pre = root["pre_tokenizer"]; !pre.null()) read_pre_tokenizer(pre, settings, mapped);
  read_model(root["model"], limit, settings);
  if (!mapped) root["pre_tokenizer"].fail("has no ByteLevel step; only byte-level BPE is supported");
  read_added(root["added_tokens"], limit, settings);
  read_post_processor(root["post_processor"], settings);
  settings.bos = source.bos;
  return settings;
}

}  // namespace stamp
