// tokenizer.json of Hugging Face's tokenizers library: the BPE families and unigram models. Specification:
// models 4.1, 4.5.
#include <string_view>
#include <unordered_map>

#include "tokenizer/bpe.h"
#include "tokenizer/json_node.h"

namespace stamp {
namespace {

using Vocabulary = std::unordered_map<std::string_view, std::int32_t>;  // Json itself searches its members one by one

void put_spelling(const Node& node, const std::string& spelling, std::int64_t id, std::int64_t limit,
                  TokenizerSettings& settings) {
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

Vocabulary read_vocabulary(const Node& node, std::int64_t limit, TokenizerSettings& settings) {
  if (!node.json().is_object()) node.fail("must be an object");
  Vocabulary vocabulary;
  vocabulary.reserve(node.json().size());
  for (const auto& [spelling, id] : node.json().items()) {
    if (!id.is_number_integer()) node.fail("gives \"" + spelling.substr(0, 80) + "\" an id that is no integer");
    put_spelling(node, spelling, id.get<std::int64_t>(), limit, settings);
    vocabulary.emplace(spelling, id.get<std::int32_t>());
  }
  return vocabulary;
}

// As in the library, a merge is made of entries and makes one.
void check_merge(const Node& merge, const Vocabulary& vocabulary, const std::string& left, const std::string& right) {
  if (left.empty() || right.empty()) merge.fail("has an empty part");
  for (const std::string& part : {left, right, left + right})
    if (vocabulary.count(part) == 0)
      merge.fail("is \"" + left.substr(0, 80) + "\" and \"" + right.substr(0, 80) + "\", but \"" + part.substr(0, 160) +
                 "\" is not in the vocabulary");
}

void read_merges(const Node& node, const Vocabulary& vocabulary, TokenizerSettings& settings) {
  for (const Node& merge : node.items()) {
    std::string left, right;
    if (merge.json().is_array()) {
      const std::vector<Node> parts = merge.items();
      if (parts.size() != 2) merge.fail("must have two parts");
      left = parts[0].text();
      right = parts[1].text();
    } else {
      const std::string text = merge.text();
      const std::size_t space = text.find(' ');
      if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos)
        merge.fail("must be two parts with a space between");
      left = text.substr(0, space);
      right = text.substr(space + 1);
    }
    check_merge(merge, vocabulary, left, right);
    settings.merges.emplace_back(std::move(left), std::move(right));
  }
}

// A byte without a token is no fault of its own: Gemma 2's file has a tab where <0x09> would be.
void read_model(const Node& node, std::int64_t limit, TokenizerSettings& settings) {
  const std::string type = node["type"].null() ? "BPE" : node["type"].text();  // old files leave it out
  if (type == "Unigram" && settings.model == TokenizerSettings::Model::bytes)
    node["type"].fail("is \"Unigram\", which does not go with the pre-tokenizer ByteLevel");
  if (type == "Unigram") return read_unigram(node, settings);
  if (type != "BPE") node.fail("is \"" + type + "\"; supported are BPE and Unigram");
  const Node prefix = node["continuing_subword_prefix"], suffix = node["end_of_word_suffix"];
  if (!prefix.null() && !prefix.text().empty()) prefix.fail("is not supported");
  if (!suffix.null() && !suffix.text().empty()) {
    if (settings.model != TokenizerSettings::Model::bytes)
      suffix.fail("is not supported without the pre-tokenizer ByteLevel");
    const auto bytes = bytes_of_spelling(suffix.text());
    if (!bytes) suffix.fail("is not made of byte characters");
    settings.end_of_word = *bytes;
  }
  settings.whole_words = node["ignore_merges"].flag(false);
  settings.byte_fallback = node["byte_fallback"].flag(false);
  settings.fuse_unknown = node["fuse_unk"].flag(false);
  if (settings.byte_fallback && settings.model == TokenizerSettings::Model::bytes)
    node["byte_fallback"].fail("is true, which does not go with the pre-tokenizer ByteLevel");
  const Vocabulary vocabulary = read_vocabulary(node["vocab"], limit, settings);
  settings.uses.assign(settings.spellings.size(), TokenizerSettings::Use::entry);
  read_merges(node["merges"], vocabulary, settings);
  if (const Node unknown = node["unk_token"]; !unknown.null() && !unknown.text().empty()) {
    const auto found = vocabulary.find(unknown.text());
    if (found == vocabulary.end()) unknown.fail("is \"" + unknown.text() + "\", which is not in the vocabulary");
    settings.unknown = found->second;
  }
}

void read_added(const Node& node, std::int64_t limit, TokenizerSettings& settings) {
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

std::vector<std::int32_t> template_ids(const Node& processor, const Node& piece, const TokenizerSettings& settings) {
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

// ["<s>", 0]
std::int32_t pair_id(const Node& node, const TokenizerSettings& settings) {
  const std::vector<Node> pair = node.items();
  if (pair.size() != 2) node.fail("must be a text and its id");
  const std::int64_t id = pair[1].integer();
  if (id < 0 || id >= static_cast<std::int64_t>(settings.spellings.size())) pair[1].fail("is outside the vocabulary");
  return static_cast<std::int32_t>(id);
}

void read_post_processor(const Node& node, TokenizerSettings& settings) {
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
  } else if (type == "RobertaProcessing") {
    settings.before.push_back(pair_id(node["cls"], settings));
    settings.after.push_back(pair_id(node["sep"], settings));
  } else if (type != "ByteLevel") {  // which only concerns offsets
    node.fail("is \"" + type +
              "\"; supported post-processors are TemplateProcessing, RobertaProcessing, ByteLevel and Sequence");
  }
}

}  // namespace

TokenizerSettings settings_from_json(const Json& tokenizer, const TokenizerSource& source, const std::string& where) {
  const Node root(tokenizer, "$", where);
  TokenizerSettings settings;
  settings.where = where;
  settings.family = "tokenizer.json";
  const Json& vocabulary = root["model"]["vocab"].json();
  const Json& added = root["added_tokens"].json();
  const auto entries = static_cast<std::int64_t>(vocabulary.size() + added.size());
  const std::int64_t limit = 4 * entries + 1024;  // holes are allowed, absurd ids are not
  read_normalizer(root["normalizer"], settings);
  const bool bytes = read_pre_tokenizer(root["pre_tokenizer"], settings);
  settings.model = bytes ? TokenizerSettings::Model::bytes : TokenizerSettings::Model::characters;
  read_model(root["model"], limit, settings);
  if (!bytes) read_decoder(root["decoder"], settings);
  read_added(root["added_tokens"], limit, settings);
  settings.uses.resize(settings.spellings.size(), TokenizerSettings::Use::apart);  // added, but not in the vocabulary
  read_post_processor(root["post_processor"], settings);
  settings.bos = source.bos;
  return settings;
}

}  // namespace stamp
