// Reading tokenizer.json.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "tokenizer/settings.h"

namespace stamp {

// A place in tokenizer.json: every read is checked and every message says where.
class Node {
 public:
  Node(const Json& value, std::string path, const std::string& where)
      : value_(value), path_(std::move(path)), where_(where) {}

  [[noreturn]] void fail(const std::string& message) const { throw DataError(where_ + ": " + path_ + " " + message); }
  const Json& json() const { return value_; }
  const std::string& where() const { return where_; }
  bool null() const { return value_.is_null(); }
  Node operator[](const char* key) const {
    if (!value_.is_object()) fail("must be an object");
    const auto found = value_.find(key);
    return {found == value_.end() ? null_value() : *found, path_ + "." + key, where_};
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
  static const Json& null_value() {
    static const Json null;
    return null;
  }
  const Json& value_;
  std::string path_;
  const std::string& where_;
};

// The model itself, of type Unigram. Ids are places in its list.
void read_unigram(const Node& node, TokenizerSettings& settings);

// What surrounds the model: normalizer, pre-tokenizer, decoder.
void read_normalizer(const Node& node, TokenizerSettings& settings);
// True when ByteLevel is the last step: the words are bytes.
bool read_pre_tokenizer(const Node& node, TokenizerSettings& settings);
void read_decoder(const Node& node, TokenizerSettings& settings);

}  // namespace stamp
