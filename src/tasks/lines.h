// Lines of a task's file, read strictly: whatever is wrong names file, line and field.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "tasks/task.h"

namespace stamp {

struct Line {
  std::string place;  // "piqa/valid.jsonl:17"
  std::string_view text;
};
// All lines without their ends ("\n" or "\r\n"); an empty last line does not count. DataError: text that is not UTF-8,
// a file without lines.
std::vector<Line> lines_of(const TaskFile& file);

// One line of JSON: an object whose fields are asked for by name.
class JsonLine {
 public:
  explicit JsonLine(const Line& line);  // DataError: not an object
  bool has(const std::string& key) const { return object_.contains(key); }
  std::string text(const std::string& key) const;           // not empty
  std::string text_or_empty(const std::string& key) const;  // text that is there, but may be empty
  std::vector<std::string> texts(const std::string& key, std::size_t least) const;
  const Json& array(const std::string& key) const;
  const Json& object(const std::string& key) const;
  // A number from 0, or the same in quotes, below `count`.
  std::int64_t index(const std::string& key, std::size_t count) const;
  bool flag(const std::string& key) const;  // true or false, in quotes or not
  [[noreturn]] void fail(const std::string& key, const std::string& what) const;
  const std::string& place() const { return place_; }

 private:
  const Json& at(const std::string& key) const;
  std::string place_;
  Json object_;
};

[[noreturn]] void line_fault(const std::string& place, const std::string& what);
std::string in_quotes(std::string_view text);  // shortened, in double quotes
// "0" -> 0 when below `count`, else -1.
std::int64_t small_number(std::string_view text, std::size_t count);

}  // namespace stamp
