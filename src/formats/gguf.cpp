#include "formats/gguf.h"

#include <array>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <optional>
#include <unordered_map>

#include "base/error.h"
#include "base/files.h"
#include "formats/tokenizer_holder.h"

namespace stamp {
namespace {

struct SplitName {
  std::string stem;  // path without "-00001-of-00003.gguf"
  int number = 0;    // from 1
  int count = 0;
};

std::string split_path(const std::string& stem, int number, int count) {
  std::array<char, 40> tail{};
  std::snprintf(tail.data(), tail.size(), "-%05d-of-%05d.gguf", number, count);
  return stem + tail.data();
}

// "name-00002-of-00003.gguf" -> {"name", 2, 3}
std::optional<SplitName> split_name(const std::string& path) {
  constexpr std::string_view kPattern = "-#####-of-#####.gguf";
  if (path.size() <= kPattern.size()) return std::nullopt;
  const std::size_t at = path.size() - kPattern.size();
  int number = 0, count = 0;
  for (std::size_t i = 0; i < kPattern.size(); ++i) {
    const char c = path[at + i];
    if (kPattern[i] != '#') {
      if (c != kPattern[i]) return std::nullopt;
      continue;
    }
    if (std::isdigit(static_cast<unsigned char>(c)) == 0) return std::nullopt;
    int& value = i < 8 ? number : count;
    value = 10 * value + (c - '0');
  }
  return SplitName{path.substr(0, at), number, count};
}

std::int64_t integer_or(const Json& metadata, const std::string& key, std::int64_t otherwise,
                        const std::string& where) {
  const auto found = metadata.find(key);
  if (found == metadata.end()) return otherwise;
  if (!found->is_number_integer()) throw DataError(where + ": " + key + " is not an integer");
  return found->get<std::int64_t>();
}

class GgufCheckpoint : public Checkpoint, public TokenizerHolder {
 public:
  explicit GgufCheckpoint(const std::string& path) : path_(path) {
    add(path);
    const std::int64_t count = integer_or(first_.metadata, "split.count", 1, path);
    if (count > 1) add_rest(count);
    const std::int64_t claimed = integer_or(first_.metadata, "split.tensors.count", -1, path);
    if (count > 1 && claimed >= 0 && claimed != static_cast<std::int64_t>(tensors_.size()))
      throw DataError(path + ": split.tensors.count is " + std::to_string(claimed) + ", but the " +
                      std::to_string(count) + " files hold " + std::to_string(tensors_.size()) + " tensors");
  }

  std::string format() const override { return "GGUF v" + std::to_string(first_.version); }
  std::string architecture() const override {
    const auto found = first_.metadata.find("general.architecture");
    return found != first_.metadata.end() && found->is_string() ? found->get<std::string>() : "";
  }
  const Json& config() const override { return first_.metadata; }
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  std::string path() const override { return path_; }
  std::vector<std::string> files() const override {
    std::vector<std::string> names;
    for (const auto& file : mapped_) names.push_back(file->path().string());
    return names;
  }
  TokenizerSource read_tokenizer() const override;

 private:
  // Maps and parses one file, appends its tensors; returns its metadata, which for the first file is kept.
  Json add(const std::string& path) {
    auto mapped = std::make_unique<MappedFile>(path);
    GgufFile file = parse_gguf(mapped->data(), mapped->size(), path);
    for (TensorInfo& tensor : file.tensors) {
      const auto [other, fresh] = owner_.emplace(tensor.name, mapped_.size());
      if (!fresh)
        throw DataError(path + ": the tensor \"" + tensor.name + "\" is also in " +
                        mapped_[other->second]->path().string());
      tensor.file = static_cast<int>(mapped_.size());
      tensor.mapped = true;
      tensors_.push_back(std::move(tensor));
    }
    mapped_.push_back(std::move(mapped));
    if (mapped_.size() > 1) return std::move(file.metadata);
    file.tensors.clear();
    first_ = std::move(file);
    return first_.metadata;
  }

  void add_rest(std::int64_t count) {
    const auto name = split_name(path_);
    if (!name || name->count != count)
      throw DataError(path_ + ": is one of " + std::to_string(count) +
                      " split files, but its name does not end in -0000i-of-" +
                      split_path("", 1, static_cast<int>(std::min<std::int64_t>(count, 99999))).substr(10));
    if (integer_or(first_.metadata, "split.no", 0, path_) != name->number - 1)
      throw DataError(path_ + ": split.no does not agree with the number in the file's name");
    for (int i = 2; i <= name->count; ++i) {
      const std::string next = split_path(name->stem, i, name->count);
      const Json metadata = add(next);
      if (integer_or(metadata, "split.no", -1, next) != i - 1 || integer_or(metadata, "split.count", -1, next) != count)
        throw DataError(next + ": split.no or split.count does not agree with the file's name");
    }
  }

  std::string path_;
  std::vector<std::unique_ptr<MappedFile>> mapped_;
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string, std::size_t> owner_;
  GgufFile first_;
};

TokenizerSource GgufCheckpoint::read_tokenizer() const {
  const std::string prefix = "tokenizer.ggml.";
  TokenizerSource source;
  const auto text = [&](const std::string& key) {
    const auto found = first_.metadata.find(prefix + key);
    return found != first_.metadata.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  const auto array = [&](const std::string& key) {
    const auto found = first_.arrays.find(prefix + key);
    return found == first_.arrays.end() ? nullptr : &found->second;
  };
  const auto where = [&](const std::string& key) { return path_ + ": " + prefix + key; };
  source.model = text("model");
  source.pre = text("pre");
  if (source.model.empty() || array("tokens") == nullptr) return source;
  source.present = true;
  source.tokens = strings_of(*array("tokens"), where("tokens"));
  if (const GgufArray* merges = array("merges")) source.merges = strings_of(*merges, where("merges"));
  if (const GgufArray* scores = array("scores"))
    for (const double s : numbers_of(*scores, where("scores"))) source.scores.push_back(static_cast<float>(s));
  if (const GgufArray* types = array("token_type"))
    for (const double t : numbers_of(*types, where("token_type")))
      source.types.push_back(t >= 0 && t <= 255 ? static_cast<std::int32_t>(t) : -1);
  const auto id = [&](const std::string& key) {
    const std::int64_t value = integer_or(first_.metadata, prefix + key + "_token_id", -1, path_);
    if (value >= static_cast<std::int64_t>(source.tokens.size()) || value < -1)
      throw DataError(where(key + "_token_id") + " is " + std::to_string(value) + ", but there are " +
                      std::to_string(source.tokens.size()) + " tokens");
    return value;
  };
  source.bos = id("bos");
  source.eos = id("eos");
  source.unknown = id("unknown");
  source.padding = id("padding");
  const auto flag = [&](const std::string& key, bool otherwise) {
    const auto found = first_.metadata.find(prefix + key);
    return found != first_.metadata.end() && found->is_boolean() ? found->get<bool>() : otherwise;
  };
  // Files of the Llama families that do not say get one, as in llama.cpp.
  const bool llama =
      source.model == "llama" || source.pre == "llama-bpe" || source.pre == "llama3" || source.pre == "llama-v3";
  source.add_bos = flag("add_bos_token", llama);
  source.add_eos = flag("add_eos_token", false);
  source.add_space_prefix = flag("add_space_prefix", true);
  return source;
}

}  // namespace

std::unique_ptr<Checkpoint> open_gguf(const std::string& path) {
  // A set is always read from its first file, which holds the metadata, whichever file of it was named.
  if (const auto name = split_name(path); name && name->number > 1 && name->count >= name->number)
    return std::make_unique<GgufCheckpoint>(split_path(name->stem, 1, name->count));
  return std::make_unique<GgufCheckpoint>(path);
}

}  // namespace stamp
