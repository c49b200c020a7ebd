#include "formats/json_text.h"

#include <array>
#include <unordered_set>
#include <vector>

#include "base/error.h"

namespace stamp {
namespace {

constexpr std::size_t kDeepest = 64;

// The same text with the three words Python adds to JSON replaced by null.
std::string without_python_numbers(std::string_view text) {
  constexpr std::array<std::string_view, 3> kWords = {"-Infinity", "Infinity", "NaN"};
  std::string out;
  out.reserve(text.size());
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      out += c;
      if (c == '\\' && i + 1 < text.size()) out += text[++i];
      if (c == '"') in_string = false;
      continue;
    }
    in_string = c == '"';
    std::string_view found;
    if (c == '-' || c == 'I' || c == 'N')
      for (const std::string_view word : kWords)
        if (text.substr(i, word.size()) == word) found = word;
    if (found.empty()) {
      out += c;
    } else {
      out += "null";
      i += found.size() - 1;
    }
  }
  return out;
}

// Builds the value while the text is read. Members are appended without looking for an equal key in the object first;
// a set beside each open object finds duplicates.
class Builder : public nlohmann::json_sax<Json> {
 public:
  Builder(std::string_view text, const std::string& where) : text_(text), where_(where) {}
  Json take() { return std::move(root_); }

  bool null() override { return place(nullptr); }
  bool boolean(bool v) override { return place(v); }
  bool number_integer(number_integer_t v) override { return place(v); }
  bool number_unsigned(number_unsigned_t v) override { return place(v); }
  bool number_float(number_float_t v, const string_t&) override { return place(v); }
  bool string(string_t& v) override { return place(std::move(v)); }
  bool binary(binary_t&) override { return false; }
  bool key(string_t& v) override {
    if (!open_.back().keys.insert(v).second) fail("the key \"" + v + "\" appears twice in one object");
    key_ = std::move(v);
    return true;
  }
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    // The library's text is "[json.exception.parse_error.101] parse error at line 1, column 2: WHAT".
    std::string what = error.what();
    if (const std::size_t colon = what.find(": "); colon != std::string::npos) what = what.substr(colon + 2);
    fail("is not valid JSON at " + place_in(text_, position == 0 ? 0 : position - 1) + ": " + repaired(what));
  }

 private:
  struct Level {
    Json value;
    std::string key;  // under which it goes into the level above
    std::unordered_set<std::string> keys;
  };

  [[noreturn]] void fail(const std::string& message) const { throw DataError(where_ + ": " + message); }
  static std::string repaired(const std::string& what) { return what.substr(0, 300); }

  bool place(Json value) { return attach(std::move(value), std::move(key_)); }
  bool attach(Json value, std::string key) {
    if (open_.empty()) {
      root_ = std::move(value);
      return true;
    }
    Json& parent = open_.back().value;
    if (parent.is_array()) {
      parent.get_ref<Json::array_t&>().push_back(std::move(value));
    } else {
      auto& members = static_cast<Json::object_t::Container&>(parent.get_ref<Json::object_t&>());
      members.emplace_back(std::move(key), std::move(value));
    }
    return true;
  }
  bool open(Json empty) {
    if (open_.size() == kDeepest) fail("is nested deeper than " + std::to_string(kDeepest) + " levels");
    open_.push_back({std::move(empty), std::move(key_), {}});
    key_.clear();
    return true;
  }
  bool close() {
    Level level = std::move(open_.back());
    open_.pop_back();
    return attach(std::move(level.value), std::move(level.key));
  }

  std::string_view text_;
  const std::string& where_;
  Json root_;
  std::vector<Level> open_;
  std::string key_;
};

}  // namespace

Json parse_json(std::string_view text, const std::string& where) {
  const std::string standard = without_python_numbers(text);
  Builder builder(standard, where);
  if (!Json::sax_parse(standard, &builder)) throw DataError(where + ": is not valid JSON");
  return builder.take();
}

std::string place_in(std::string_view text, std::size_t offset) {
  std::size_t line = 1, column = 1;
  for (std::size_t i = 0; i < offset && i < text.size(); ++i) {
    ++column;
    if (text[i] == '\n') {
      ++line;
      column = 1;
    }
  }
  return "line " + std::to_string(line) + ", column " + std::to_string(column);
}

}  // namespace stamp
