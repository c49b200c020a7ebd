#include "tokenizer/folder.h"

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"
#include "formats/json_text.h"
#include "tokenizer/sentencepiece_file.h"

namespace stamp {
namespace {

constexpr const char *kStart = "<|startoftext|>", *kEnd = "<|endoftext|>";

// The two files of CLIP as the tokenizer.json that they stand for.
Json clip_as_tokenizer_json(const Json& vocabulary, const std::string& merges, const std::string& where) {
  Json added = Json::array();
  for (const char* token : {kStart, kEnd}) {
    const auto found = vocabulary.is_object() ? vocabulary.find(token) : vocabulary.end();
    if (!vocabulary.is_object() || found == vocabulary.end() || !found->is_number_integer())
      throw DataError(where + ": the vocabulary must have ids for <|startoftext|> and <|endoftext|>");
    added.push_back({{"id", *found}, {"content", token}, {"special", true}, {"normalized", false}});
  }
  Json list = Json::array();
  for (const std::string& line : split(merges, '\n')) {
    if (const std::string merge = trim(line); !merge.empty() && merge.rfind("#version", 0) != 0) list.push_back(merge);
  }
  const Json words = {
      {"type", "Split"},
      {"pattern",
       {{"Regex", R"(<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+)"}}},
      {"behavior", "Removed"},
      {"invert", true}};
  const Json spaces = {{"type", "Replace"}, {"pattern", {{"Regex", R"(\s+)"}}}, {"content", " "}};
  const Json level = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}};
  return {{"added_tokens", added},
          {"normalizer", {{"type", "Sequence"}, {"normalizers", {{{"type", "NFC"}}, spaces, {{"type", "Lowercase"}}}}}},
          {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", {words, level}}}},
          {"post_processor",
           {{"type", "RobertaProcessing"},
            {"cls", Json::array({kStart, vocabulary.at(kStart)})},
            {"sep", Json::array({kEnd, vocabulary.at(kEnd)})}}},
          {"model",
           {{"type", "BPE"},
            {"unk_token", kEnd},
            {"end_of_word_suffix", "</w>"},
            {"vocab", vocabulary},
            {"merges", list}}}};
}

std::unique_ptr<Tokenizer> from_json(const Json& json, const std::string& where) {
  TokenizerSettings settings = settings_from_json(json, TokenizerSource(), where);
  if (!settings.before.empty()) settings.bos = settings.before.front();
  return make_tokenizer(std::move(settings));
}

}  // namespace

std::unique_ptr<Tokenizer> open_tokenizer_folder(const std::string& folder) {
  const fs::path at = folder;
  const auto has = [&](const char* name) { return fs::is_regular_file(at / name); };
  if (has("spiece.model")) {
    const std::string where = (at / "spiece.model").string();
    return make_tokenizer(settings_from_sentencepiece(parse_sentencepiece(read_file(where), where), {}, where));
  }
  if (has("tokenizer.json")) {
    const std::string where = (at / "tokenizer.json").string();
    return from_json(parse_json(read_file(where), where), where);
  }
  if (has("vocab.json") && has("merges.txt")) {
    const std::string where = (at / "vocab.json").string();
    const Json vocabulary = parse_json(read_file(where), where);
    return from_json(clip_as_tokenizer_json(vocabulary, read_file(at / "merges.txt"), where), where);
  }
  throw DataError(folder + ": has no tokenizer (looked for spiece.model, tokenizer.json, vocab.json with merges.txt)");
}

}  // namespace stamp
