// The one strict YAML reader. yaml-cpp is seen by yaml.cpp only; everybody else walks YamlNode.
//
// Stricter than YAML on purpose, because each leniency hides a slip: duplicate keys, anchors, aliases, merge keys, tags
// and second documents are faults; only `true` and `false` are booleans; a number is decimal, without a leading zero;
// size and depth are limited before anything is built. Nothing here depends on the locale.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"

namespace stamp {

struct YamlEntry;

struct YamlNode {
  enum class Kind { null, scalar, list, map };
  Kind kind = Kind::null;
  Place place;
  std::string text;     // scalar, as written
  bool quoted = false;  // scalar in quotes or a block scalar: always text
  std::vector<YamlNode> items;
  std::vector<YamlEntry> entries;  // in the order of the file; keys are unique

  bool is_map() const { return kind == Kind::map; }
  bool is_list() const { return kind == Kind::list; }
  bool is_scalar() const { return kind == Kind::scalar; }
  bool is_null() const { return kind == Kind::null; }
  const YamlNode* find(std::string_view key) const;  // null when absent or not a map
};

struct YamlEntry {
  std::string key;
  Place key_place;
  YamlNode value;
};

inline constexpr std::size_t yaml_size_limit = std::size_t{1} << 20;  // bytes of one file
inline constexpr int yaml_depth_limit = 64;                           // maps and lists inside each other
inline constexpr std::size_t yaml_node_limit = 20000;                 // keys, values, maps and lists of one file

// Adds one line per fault to `faults`; what could be read is returned (a null node after a syntax error).
YamlNode parse_yaml(std::string_view text, const std::string& file, std::vector<std::string>& faults);
// The same for a file; missing, a folder, not a regular file, too large, empty or binary are faults as well.
YamlNode read_yaml(const fs::path& path, std::vector<std::string>& faults);
YamlNode read_yaml(const fs::path& path);  // throws ConfigError with all faults

// The value of a scalar by its own spelling: null, boolean, integer (64 bit), real or text. What looks like a number
// but is not one here (010, 0x1f, 1_000, .inf, an integer beyond 64 bits) keeps Type::malformed.
struct YamlScalar {
  enum class Type { null, boolean, integer, real, text, malformed };
  Type type = Type::null;
  Json value;          // for malformed: the text
  std::string remark;  // for malformed: what to write instead
};
YamlScalar scalar_of(const YamlNode& node);
// "4", "\"4\" (text)", "a list", ...: the node as a message quotes it, shortened.
std::string describe_node(const YamlNode& node);

}  // namespace stamp
