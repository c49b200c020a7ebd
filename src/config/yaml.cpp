#include "config/yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <charconv>
#include <sstream>

#include "base/text.h"
#include "config/faults.h"

namespace stamp {
namespace {

// Ends a parse early; never leaves this file.
struct TooMuch {};

// Builds our nodes from yaml-cpp's events. Its own node tree is not used: it drops duplicate keys, shares storage and
// forgets whether a scalar was quoted.
class TreeBuilder final : public YAML::EventHandler {
 public:
  TreeBuilder(std::string file, std::vector<std::string>& faults) : file_(std::move(file)), faults_(faults) {}

  YamlNode take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ == 2) fault(place(mark), "a second document starts here; one file holds one document");
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    refuse_anchor(mark, anchor);
    count(mark);
    add(node(YamlNode::Kind::null, mark));
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    count(mark);
    fault(place(mark), "an alias (*name); aliases are not supported, write the value again or use `extends`");
    add(node(YamlNode::Kind::null, mark));
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    refuse_anchor(mark, anchor);
    refuse_tag(mark, tag);
    count(mark);
    YamlNode scalar = node(YamlNode::Kind::scalar, mark);
    scalar.text = value;
    scalar.quoted = tag == "!";
    add(std::move(scalar));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(YamlNode::Kind::list, mark, tag, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(YamlNode::Kind::map, mark, tag, anchor);
  }
  void OnMapEnd() override { close(); }

 private:
  // A map or list that is still open; a map waits for a key, then for its value.
  struct Open {
    YamlNode node;
    bool has_key = false;
    bool keep = true;  // false: the value of a refused key
    std::string key;
    Place key_place;
  };

  Place place(const YAML::Mark& mark) const {
    return Place{file_, std::max(mark.line, 0) + 1, std::max(mark.column, 0) + 1};
  }
  YamlNode node(YamlNode::Kind kind, const YAML::Mark& mark) const {
    YamlNode n;
    n.kind = kind;
    n.place = place(mark);
    return n;
  }
  // Later steps compare nodes with each other, so that their number has to stay small, whatever the size allows.
  void count(const YAML::Mark& mark) {
    if (++nodes_ <= yaml_node_limit) return;
    fault(place(mark), "more than " + std::to_string(yaml_node_limit) + " values");
    throw TooMuch{};
  }
  void fault(const Place& at, const std::string& what) { faults_.push_back(at.text() + ": " + what); }
  void refuse_anchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != 0)
      fault(place(mark), "an anchor (&name); anchors are not supported, use `extends` to share settings");
  }
  void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
    if (!tag.empty() && tag != "?" && tag != "!") fault(place(mark), "the tag \"" + tag + "\"; tags are not supported");
  }

  void open(YamlNode::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    refuse_anchor(mark, anchor);
    refuse_tag(mark, tag);
    count(mark);
    if (static_cast<int>(open_.size()) >= yaml_depth_limit) {
      fault(place(mark), "more than " + std::to_string(yaml_depth_limit) + " lists and maps inside each other");
      throw TooMuch{};
    }
    open_.push_back(Open{node(kind, mark), false, true, {}, {}});
  }
  void close() {
    YamlNode done = std::move(open_.back().node);
    open_.pop_back();
    add(std::move(done));
  }
  void add(YamlNode value) {
    if (open_.empty()) {
      if (documents_ < 2) root_ = std::move(value);
      return;
    }
    Open& top = open_.back();
    if (top.node.is_list()) {
      top.node.items.push_back(std::move(value));
    } else if (!top.has_key) {
      take_key(top, value);
    } else {
      if (top.keep) top.node.entries.push_back(YamlEntry{top.key, top.key_place, std::move(value)});
      top.has_key = false;
    }
  }
  void take_key(Open& top, const YamlNode& key) {
    top.has_key = true;
    top.keep = false;
    top.key = key.text;
    top.key_place = key.place;
    if (!key.is_scalar()) {
      fault(key.place, std::string("a key that is ") +
                           (key.is_null()  ? "empty"
                            : key.is_map() ? "a map"
                                           : "a list") +
                           "; a key is text");
    } else if (!key.quoted && key.text == "<<") {
      fault(key.place, "a merge key (<<); merge keys are not supported, use `extends` to share settings");
    } else if (const auto first = std::find_if(top.node.entries.begin(), top.node.entries.end(),
                                               [&](const YamlEntry& e) { return e.key == key.text; });
               first != top.node.entries.end()) {
      fault(key.place, key.text + ": duplicate key; first given at line " + std::to_string(first->key_place.line));
    } else {
      top.keep = true;
    }
  }

  std::string file_;
  std::vector<std::string>& faults_;
  std::vector<Open> open_;
  YamlNode root_;
  int documents_ = 0;
  std::size_t nodes_ = 0;
};

Place place_of_byte(std::string_view text, std::size_t at, const std::string& file) {
  const auto line = std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n');
  const std::size_t start = text.substr(0, at).rfind('\n');
  const std::size_t column = start == std::string_view::npos ? at + 1 : at - start;
  return Place{file, static_cast<int>(line) + 1, static_cast<int>(column)};
}

// Position of the first byte that cannot be part of a text file, npos when there is none: control characters
// and what is not UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing past U+10FFFF).
std::size_t first_binary_byte(std::string_view text) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  for (std::size_t i = 0; i < text.size();) {
    const unsigned c = byte(i);
    if (c < 0x80) {
      if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f) return i;
      ++i;
      continue;
    }
    const int tail = c >= 0xc2 && c <= 0xdf ? 1 : c >= 0xe0 && c <= 0xef ? 2 : c >= 0xf0 && c <= 0xf4 ? 3 : 0;
    if (tail == 0) return i;
    const unsigned next = byte(i + 1);
    const unsigned low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    const unsigned high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    if (next < low || next > high) return i;
    for (int k = 2; k <= tail; ++k) {
      if ((byte(i + static_cast<std::size_t>(k)) & 0xc0) != 0x80) return i;
    }
    i += static_cast<std::size_t>(tail) + 1;
  }
  return std::string_view::npos;
}

// yaml-cpp's scanner keeps one entry an open bracket and looks far ahead, so that a file of brackets costs a hundred
// times its size before the first event arrives. Counting is enough: brackets inside quotes count too, and nobody
// opens 64 of them without closing any.
std::size_t first_bracket_too_deep(std::string_view text) {
  int depth = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '[' || text[i] == '{') {
      if (++depth > yaml_depth_limit) return i;
    } else if ((text[i] == ']' || text[i] == '}') && depth > 0) {
      --depth;
    }
  }
  return std::string_view::npos;
}

// YAML indents with spaces, and yaml-cpp's words for a tab there ("illegal map value") do not say so. The first tab
// before the text of a line, counted from 0; npos when there is none.
std::size_t tab_in_indentation(std::string_view text, int line) {
  std::size_t start = 0;
  for (; line > 0 && start != std::string_view::npos; --line) {
    start = text.find('\n', start);
    if (start != std::string_view::npos) ++start;
  }
  if (start >= text.size()) return std::string_view::npos;
  const std::size_t content = text.find_first_not_of(" \t-", start);
  const std::size_t tab = text.find('\t', start);
  return tab < content ? tab : std::string_view::npos;
}

bool digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// Sign, digits, fraction, exponent of a decimal number; false when the text is something else.
struct Decimal {
  std::string_view whole, fraction, exponent;
  bool point = false, power = false;
};
bool split_decimal(std::string_view text, Decimal& d) {
  if (!text.empty() && (text[0] == '+' || text[0] == '-')) text.remove_prefix(1);
  if (const std::size_t e = text.find_first_of("eE"); e != std::string_view::npos) {
    d.power = true;
    d.exponent = text.substr(e + 1);
    if (!d.exponent.empty() && (d.exponent[0] == '+' || d.exponent[0] == '-')) d.exponent.remove_prefix(1);
    if (!digits(d.exponent)) return false;
    text = text.substr(0, e);
  }
  if (const std::size_t p = text.find('.'); p != std::string_view::npos) {
    d.point = true;
    d.fraction = text.substr(p + 1);
    if (!d.fraction.empty() && !digits(d.fraction)) return false;
    text = text.substr(0, p);
  }
  d.whole = text;
  if (!d.whole.empty() && !digits(d.whole)) return false;
  return !d.whole.empty() || !d.fraction.empty();
}

// Spellings that some YAML readers take for numbers and others for text.
std::string doubtful_number(std::string_view text) {
  std::string_view body = text;
  if (!body.empty() && (body[0] == '+' || body[0] == '-')) body.remove_prefix(1);
  if (body == ".inf" || body == ".Inf" || body == ".INF" || body == ".nan" || body == ".NaN" || body == ".NAN") {
    return "numbers are finite";
  }
  if (body.size() > 2 && body[0] == '0' && std::string_view("xXoObB").find(body[1]) != std::string_view::npos &&
      std::all_of(body.begin() + 2, body.end(), [](char c) {
        return std::string_view("0123456789abcdefABCDEF_").find(c) != std::string_view::npos;
      })) {
    return "numbers are decimal";
  }
  if (body.find('_') != std::string_view::npos && body[0] >= '0' && body[0] <= '9' &&
      std::all_of(body.begin(), body.end(), [](char c) { return c == '_' || (c >= '0' && c <= '9'); })) {
    return "numbers have no underscores";
  }
  return {};
}

YamlScalar number_of(std::string_view text, const Decimal& d) {
  YamlScalar s;
  s.value = std::string(text);
  s.type = YamlScalar::Type::malformed;
  if (d.whole.size() > 1 && d.whole[0] == '0') {
    s.remark = "a number with a leading zero is octal to some readers; write it without the zero, or in quotes as text";
    return s;
  }
  const char* first = text.data() + (text[0] == '+' ? 1 : 0);
  const char* last = text.data() + text.size();
  if (!d.point && !d.power) {
    std::int64_t integer = 0;
    if (const auto r = std::from_chars(first, last, integer); r.ec == std::errc() && r.ptr == last) {
      s.type = YamlScalar::Type::integer;
      s.value = integer;
    } else {
      s.remark = "integers have at most 64 bits";
    }
    return s;
  }
  double real = 0;
  if (const auto r = std::from_chars(first, last, real); r.ec == std::errc() && r.ptr == last) {
    s.type = YamlScalar::Type::real;
    s.value = real;
  } else {
    s.remark = "the number does not fit a double";
  }
  return s;
}

}  // namespace

const YamlNode* YamlNode::find(std::string_view key) const {
  for (const YamlEntry& entry : entries) {
    if (entry.key == key) return &entry.value;
  }
  return nullptr;
}

YamlNode parse_yaml(std::string_view text, const std::string& file, std::vector<std::string>& faults) {
  const auto refuse = [&](std::size_t at, const std::string& what) {
    faults.push_back(place_of_byte(text, at, file).text() + ": " + what);
    return YamlNode{};
  };
  if (text.size() > yaml_size_limit) {
    faults.push_back(file + ": " + bytes_text(text.size()) + "; an experiment file has at most " +
                     bytes_text(yaml_size_limit));
    return {};
  }
  if (text.substr(0, 3) == "\xef\xbb\xbf")
    text.remove_prefix(3);  // a byte order mark would shift the first line's columns
  if (const auto at = first_binary_byte(text); at != std::string_view::npos) {
    return refuse(at, "not a text file: a byte that is not UTF-8 text (" +
                          std::to_string(static_cast<unsigned char>(text[at])) + ")");
  }
  if (const auto at = first_bracket_too_deep(text); at != std::string_view::npos) {
    return refuse(at, "more than " + std::to_string(yaml_depth_limit) + " brackets are open here");
  }
  TreeBuilder builder(file, faults);
  try {
    // yaml-cpp takes an unclosed quote for closed when the text ends with a line break: the rest of the file would
    // vanish into one value. A comment at the very end is neutral and leaves no such line break.
    std::istringstream stream{std::string(text) + "\n#"};
    YAML::Parser parser(stream);
    for (int documents = 0; documents < 2 && parser.HandleNextDocument(builder);) ++documents;
  } catch (const TooMuch&) {
    return {};
  } catch (const YAML::Exception& e) {
    if (const auto tab = tab_in_indentation(text, std::max(e.mark.line, 0)); tab != std::string_view::npos)
      return refuse(tab, "a tab in the indentation; YAML indents with spaces");
    const Place at{file, std::max(e.mark.line, 0) + 1, std::max(e.mark.column, 0) + 1};
    faults.push_back(at.text() + ": not valid YAML: " + e.msg);
    return {};
  }
  return builder.take();
}

YamlNode read_yaml(const fs::path& path, std::vector<std::string>& faults) {
  const std::string file = path.string();
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found || status.type() == fs::file_type::none) {
    faults.push_back(file + ": no such file" +
                     (error && status.type() == fs::file_type::none ? " (" + error.message() + ")" : ""));
    return {};
  }
  if (status.type() != fs::file_type::regular) {
    faults.push_back(file + ": is " + (fs::is_directory(status) ? "a folder" : "not a regular file") +
                     "; a YAML file is wanted");
    return {};
  }
  const std::uintmax_t size = fs::file_size(path, error);
  if (!error && size > yaml_size_limit) {
    faults.push_back(file + ": " + bytes_text(size) + "; an experiment file has at most " +
                     bytes_text(yaml_size_limit));
    return {};
  }
  std::string text;
  try {
    text = read_file(path, yaml_size_limit);
  } catch (const DataError& e) {
    faults.push_back(file + ": cannot be read: " + e.what());
    return {};
  }
  const std::size_t before = faults.size();
  YamlNode root = parse_yaml(text, file, faults);
  if (root.is_null() && faults.size() == before)
    faults.push_back(file + ": the file is empty; a map of settings is wanted");
  if (root.place.file.empty()) root.place.file = file;
  return root;
}

YamlNode read_yaml(const fs::path& path) {
  std::vector<std::string> faults;
  YamlNode root = read_yaml(path, faults);
  if (!faults.empty()) throw_faults(std::move(faults));
  return root;
}

YamlScalar scalar_of(const YamlNode& node) {
  YamlScalar s;
  if (node.is_null()) return s;
  s.type = YamlScalar::Type::text;
  s.value = node.text;
  if (node.quoted) return s;
  if (node.text == "true" || node.text == "false") {
    s.type = YamlScalar::Type::boolean;
    s.value = node.text == "true";
    return s;
  }
  if (Decimal d; split_decimal(node.text, d)) return number_of(node.text, d);
  if (const std::string remark = doubtful_number(node.text); !remark.empty()) {
    s.type = YamlScalar::Type::malformed;
    s.remark = remark;
  }
  return s;
}

std::string describe_node(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::null: return "nothing";
    case YamlNode::Kind::list: return "a list";
    case YamlNode::Kind::map: return "a map";
    case YamlNode::Kind::scalar: break;
  }
  const YamlScalar s = scalar_of(node);
  switch (s.type) {
    case YamlScalar::Type::text: return "the text \"" + shortened(node.text) + "\"";
    case YamlScalar::Type::boolean: return node.text;
    default: return shortened(node.text);
  }
}

}  // namespace stamp
