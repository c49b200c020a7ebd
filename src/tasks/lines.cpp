#include "tasks/lines.h"

#include "base/error.h"
#include "formats/json_text.h"
#include "formats/utf8.h"

namespace stamp {
namespace {

constexpr std::size_t most_shown = 40;

// A value as a message shows it.
std::string shown(const Json& value) {
  const std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  return text.size() <= most_shown ? text : text.substr(0, most_shown) + "...";
}

}  // namespace

std::string in_quotes(std::string_view text) {
  std::string out = "\"";
  out.append(text.substr(0, most_shown));
  out.append(text.size() > most_shown ? "...\"" : "\"");
  return out;
}

void line_fault(const std::string& place, const std::string& what) {
  throw DataError(place + ": " + what);
}

std::vector<Line> lines_of(const TaskFile& file) {
  std::vector<Line> lines;
  std::string_view rest = file.content;
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    lines.push_back({file.path + ":" + std::to_string(lines.size() + 1), line});
    if (!is_utf8(line)) line_fault(lines.back().place, "is not UTF-8");
  }
  if (lines.empty()) throw DataError(file.path + ": is empty");
  return lines;
}

JsonLine::JsonLine(const Line& line) : place_(line.place) {
  if (line.text.find_first_not_of(" \t") == std::string_view::npos)
    line_fault(place_, "an empty line; one JSON object a line is expected");
  object_ = parse_json(line.text, place_);
  if (!object_.is_object()) line_fault(place_, shown(object_) + "; a JSON object is expected");
}

void JsonLine::fail(const std::string& key, const std::string& what) const {
  line_fault(place_, key + ": " + what);
}

const Json& JsonLine::at(const std::string& key) const {
  const auto found = object_.find(key);
  if (found == object_.end()) {
    std::string keys;
    for (const auto& [name, value] : object_.items()) keys += (keys.empty() ? "" : ", ") + name;
    fail(key, "missing; the item has " + (keys.empty() ? "no fields" : keys));
  }
  return *found;
}

std::string JsonLine::text(const std::string& key) const {
  const Json& value = at(key);
  if (!value.is_string() || value.get_ref<const std::string&>().empty())
    fail(key, shown(value) + "; text that is not empty is expected");
  return value.get<std::string>();
}

std::string JsonLine::text_or_empty(const std::string& key) const {
  const Json& value = at(key);
  if (!value.is_string()) fail(key, shown(value) + "; text is expected");
  return value.get<std::string>();
}

std::vector<std::string> JsonLine::texts(const std::string& key, std::size_t least) const {
  std::vector<std::string> texts;
  for (const Json& value : array(key)) {
    if (!value.is_string() || value.get_ref<const std::string&>().empty())
      fail(key, shown(value) + " in the list; texts that are not empty are expected");
    texts.push_back(value.get<std::string>());
  }
  if (texts.size() < least)
    fail(key, std::to_string(texts.size()) + " texts; at least " + std::to_string(least) + " are expected");
  return texts;
}

const Json& JsonLine::array(const std::string& key) const {
  const Json& value = at(key);
  if (!value.is_array()) fail(key, shown(value) + "; a list is expected");
  return value;
}

const Json& JsonLine::object(const std::string& key) const {
  const Json& value = at(key);
  if (!value.is_object()) fail(key, shown(value) + "; an object is expected");
  return value;
}

std::int64_t JsonLine::index(const std::string& key, std::size_t count) const {
  const Json& value = at(key);
  std::int64_t index = -1;
  if (value.is_number_integer()) index = value.get<std::int64_t>();
  if (value.is_string()) index = small_number(value.get_ref<const std::string&>(), count);
  if (index < 0 || index >= static_cast<std::int64_t>(count))
    fail(key, shown(value) + "; a number from 0 to " + std::to_string(count - 1) + " is expected");
  return index;
}

bool JsonLine::flag(const std::string& key) const {
  const Json& value = at(key);
  if (value == true || value == "true") return true;
  if (value == false || value == "false") return false;
  fail(key, shown(value) + "; true or false is expected");
}

std::int64_t small_number(std::string_view text, std::size_t count) {
  if (text.size() != 1 || text[0] < '0' || text[0] > '9') return -1;
  const std::int64_t value = text[0] - '0';
  return value < static_cast<std::int64_t>(count) ? value : -1;
}

}  // namespace stamp
