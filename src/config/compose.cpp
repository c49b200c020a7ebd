#include "config/compose.h"

#include <algorithm>
#include <map>

#include "base/text.h"

namespace stamp {
namespace {

constexpr std::size_t most_pieces = 200;  // pieces that extend pieces that ...: a tree of 2^n reads stops here

class Composer {
 public:
  explicit Composer(std::vector<std::string>& faults) : faults_(faults) {}

  void preload(std::string_view text, const fs::path& path) {
    YamlNode node = parse_yaml(text, path.string(), faults_);
    if (!node.is_map() && faults_.empty())
      faults_.push_back(path.string() + ": " + describe_node(node) + "; a map of settings is wanted");
    files_[identity_of(path)] = std::move(node);
  }

  YamlNode read(const fs::path& path, const Place* from) {
    const std::string identity = identity_of(path);
    if (const auto at = std::find(open_.begin(), open_.end(), identity); at != open_.end()) {
      std::vector<std::string> cycle(names_.begin() + (at - open_.begin()), names_.end());
      cycle.push_back(path.string());
      fault(from, "extends: a cycle: " + join(cycle, " -> "));
      return {};
    }
    if (++pieces_ > most_pieces) {
      if (pieces_ == most_pieces + 1) fault(from, "extends: more than " + std::to_string(most_pieces) + " pieces");
      return {};
    }
    YamlNode own = parsed(path, identity, from);
    if (!own.is_map()) return {};
    const auto extends =
        std::find_if(own.entries.begin(), own.entries.end(), [](const YamlEntry& e) { return e.key == "extends"; });
    if (extends == own.entries.end()) return own;
    const YamlNode pieces = std::move(extends->value);
    own.entries.erase(extends);
    open_.push_back(identity);
    names_.push_back(path.string());
    YamlNode base = read_pieces(pieces, path.parent_path());
    open_.pop_back();
    names_.pop_back();
    return base.is_map() ? merge(std::move(base), std::move(own)) : own;
  }

 private:
  static std::string identity_of(const fs::path& path) {
    std::error_code ignored;
    const fs::path whole = fs::weakly_canonical(path, ignored);
    return ignored ? path.lexically_normal().string() : whole.string();
  }
  void fault(const Place* at, const std::string& what) { faults_.push_back((at ? at->text() + ": " : "") + what); }

  // A file is read once, and its own faults are told once, however often it is extended.
  YamlNode parsed(const fs::path& path, const std::string& identity, const Place* from) {
    const auto known = files_.find(identity);
    if (known != files_.end()) return known->second;
    std::vector<std::string> faults;
    YamlNode node = read_yaml(path, faults);
    if (faults.empty() && !node.is_map())
      faults.push_back(node.place.text() + ": " + describe_node(node) + "; a map of settings is wanted");
    for (const std::string& text : faults)
      fault(node.is_null() && from ? from : nullptr, (node.is_null() && from ? "extends: " : "") + text);
    files_[identity] = node;
    return node;
  }

  YamlNode read_pieces(const YamlNode& pieces, const fs::path& folder) {
    YamlNode merged;
    const auto add = [&](const YamlNode& item) {
      const YamlScalar name = scalar_of(item);
      if (!item.is_scalar() || name.type != YamlScalar::Type::text || item.text.empty()) {
        fault(&item.place, "extends: " + describe_node(item) + "; a path to a YAML file");
        return;
      }
      YamlNode piece = read((folder / item.text).lexically_normal(), &item.place);
      if (piece.is_map()) merged = merged.is_map() ? merge(std::move(merged), std::move(piece)) : std::move(piece);
    };
    if (pieces.is_list())
      for (const YamlNode& item : pieces.items) add(item);
    else
      add(pieces);
    return merged;
  }

  std::vector<std::string>& faults_;
  std::vector<std::string> open_, names_;
  std::map<std::string, YamlNode> files_;
  std::size_t pieces_ = 0;
};

void move_to(YamlNode& node, const Place& place) {
  node.place = place;
  for (YamlNode& item : node.items) move_to(item, place);
  for (YamlEntry& entry : node.entries) {
    entry.key_place = place;
    move_to(entry.value, place);
  }
}

std::vector<std::string> keys_of(const std::string& path) {
  const std::string axes = std::string(axes_section) + ".";
  if (path.compare(0, axes.size(), axes) != 0) return split(path, '.');
  std::vector<std::string> keys = split(axes_section, '.');
  keys.push_back(path.substr(axes.size()));
  return keys;
}

// Maps are merged, so that an empty one would do nothing, in silence.
bool holds_empty_map(const YamlNode& node) {
  if (node.is_map() && node.entries.empty()) return true;
  return std::any_of(node.entries.begin(), node.entries.end(),
                     [](const YamlEntry& e) { return holds_empty_map(e.value); });
}

YamlNode read_override(const std::string& text, std::vector<std::string>& faults) {
  const Place place{"--set", 0, 0};
  const std::size_t equals = text.find('=');
  const std::string path = trim(text.substr(0, equals));
  const std::vector<std::string> keys = keys_of(path);
  if (equals == std::string::npos || std::find(keys.begin(), keys.end(), "") != keys.end()) {
    faults.push_back("--set: \"" + text + "\"; path=value, as in quantization.weights.bits=8");
    return {};
  }
  YamlNode node = parse_yaml(text.substr(equals + 1), "--set " + path, faults);
  move_to(node, place);
  if (holds_empty_map(node))
    faults.push_back(
        "--set: " + path + ": an empty map changes nothing; name what is to change, as in " +
        (path.starts_with("sweep") ? "sweep.axes.quantization.method=[rtn]" : "quantization.weights.bits=8"));
  for (auto key = keys.rbegin(); key != keys.rend(); ++key) {
    YamlNode parent;
    parent.kind = YamlNode::Kind::map;
    parent.place = place;
    parent.entries.push_back(YamlEntry{*key, place, std::move(node)});
    node = std::move(parent);
  }
  return node;
}

YamlNode overridden(YamlNode tree, const std::vector<std::string>& overrides, std::vector<std::string>& faults) {
  for (const std::string& text : overrides) {
    YamlNode node = read_override(text, faults);
    if (tree.is_map() && node.is_map()) tree = merge(std::move(tree), std::move(node));
  }
  return tree;
}

}  // namespace

YamlNode merge(YamlNode base, YamlNode over) {
  if (!base.is_map() || !over.is_map()) return over;
  for (YamlEntry& entry : over.entries) {
    const auto same =
        std::find_if(base.entries.begin(), base.entries.end(), [&](const YamlEntry& e) { return e.key == entry.key; });
    if (same == base.entries.end()) {
      base.entries.push_back(std::move(entry));
    } else {
      same->value = merge(std::move(same->value), std::move(entry.value));
      same->key_place = entry.key_place;
    }
  }
  base.place = over.place;
  return base;
}

YamlNode compose(const fs::path& path, const std::vector<std::string>& overrides, std::vector<std::string>& faults) {
  return overridden(Composer(faults).read(path, nullptr), overrides, faults);
}

YamlNode compose_text(std::string_view text, const fs::path& path, const std::vector<std::string>& overrides,
                      std::vector<std::string>& faults) {
  Composer composer(faults);
  composer.preload(text, path);
  return overridden(composer.read(path, nullptr), overrides, faults);
}

}  // namespace stamp
