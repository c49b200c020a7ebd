// The steps around the model in tokenizer.json. Specification: models 4.1, 4.5.
#include "formats/utf8.h"
#include "tokenizer/json_node.h"

namespace stamp {
namespace {

// {"String": text} or {"Regex": expression}
Pattern pattern_of(const Node& node) {
  const bool regex = !node["Regex"].null();
  const std::string text = regex ? node["Regex"].text() : node["String"].text();
  if (text.empty()) node.fail("is empty");
  return regex ? Pattern(text) : Pattern::literal(text);
}

std::string character_of(const Node& node) {
  const std::string text = node.text();
  const CodePoint c = decode_utf8(text, 0);
  if (text.empty() || static_cast<std::size_t>(c.bytes) != text.size()) node.fail("must be one character");
  return text;
}

std::string bytes_of_base64(const Node& node) {
  const std::string text = node.null() ? std::string() : node.text();
  std::string bytes;
  std::uint32_t held = 0;
  int bits = 0;
  for (const char c : text) {
    if (c == '=') break;  // only at the end
    const std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const std::size_t digit = digits.find(c);
    if (digit == std::string_view::npos) node.fail("is not base64");
    held = (held << 6) | static_cast<std::uint32_t>(digit);
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes += static_cast<char>((held >> bits) & 0xFF);
  }
  return bytes;
}

int count_of(const Node& node) {
  const std::int64_t count = node.integer();
  if (count < 0 || count > 1000) node.fail("is " + std::to_string(count) + "; allowed are 0 to 1000");
  return static_cast<int>(count);
}

SplitStep::Keep keep_of(const Node& node) {
  const std::string behavior = node.text();
  if (behavior == "Isolated") return SplitStep::Keep::isolated;
  if (behavior == "Removed") return SplitStep::Keep::removed;
  if (behavior == "MergedWithPrevious") return SplitStep::Keep::with_previous;
  if (behavior == "MergedWithNext") return SplitStep::Keep::with_next;
  node.fail("is \"" + behavior + "\"; supported are Isolated, Removed, MergedWithPrevious, MergedWithNext");
}

// Files from before prepend_scheme say add_prefix_space.
Metaspace::Prepend prepend_of(const Node& node) {
  const std::string scheme = node["prepend_scheme"].null() ? "always" : node["prepend_scheme"].text();
  if (scheme == "never" || !node["add_prefix_space"].flag(true)) return Metaspace::Prepend::never;
  if (scheme == "always") return Metaspace::Prepend::always;
  if (scheme == "first") return Metaspace::Prepend::first;
  node["prepend_scheme"].fail("is \"" + scheme + "\"; supported are always, first, never");
}

std::string mark_of(const Node& node) {
  return node["replacement"].null() ? std::string(kSpaceMark) : character_of(node["replacement"]);
}

// `mapped`: ByteLevel has turned the pieces into byte characters, after which nothing may split them.
void read_step(const Node& node, TokenizerSettings& settings, bool& mapped) {
  const std::string type = node["type"].text();
  if (type == "Sequence") {
    for (const Node& item : node["pretokenizers"].items()) read_step(item, settings, mapped);
    return;
  }
  if (mapped) node.fail("comes after ByteLevel, which must be the last step");
  if (type == "ByteLevel") {
    if (node["add_prefix_space"].flag(true)) node.fail("has add_prefix_space, which is not supported");
    if (node["use_regex"].flag(true))
      settings.steps.push_back({Pattern(pattern_c()), SplitStep::Keep::isolated, false});
    mapped = true;
  } else if (type == "Digits") {
    const bool single = node["individual_digits"].flag(false);
    settings.steps.push_back({Pattern(single ? R"(\p{N})" : R"(\p{N}+)"), SplitStep::Keep::isolated, false});
  } else if (type == "Split") {
    SplitStep::Keep keep = keep_of(node["behavior"]);
    settings.steps.push_back({pattern_of(node["pattern"]), keep, node["invert"].flag(false)});
  } else if (type == "Metaspace") {
    if (settings.metaspace) node.fail("is a second \"Metaspace\"; one is supported");
    settings.metaspace_step = settings.steps.size();
    settings.metaspace = Metaspace{mark_of(node), prepend_of(node)};
    if (node["split"].flag(true))
      settings.steps.push_back({Pattern::literal(settings.metaspace->mark), SplitStep::Keep::with_next, false});
  } else if (type == "WhitespaceSplit") {
    settings.steps.push_back({Pattern(R"(\s+)"), SplitStep::Keep::removed, false});
  } else {
    node.fail("is \"" + type +
              "\"; supported pre-tokenizers are ByteLevel, Digits, Metaspace, Split, WhitespaceSplit and Sequence");
  }
}

}  // namespace

void read_normalizer(const Node& node, TokenizerSettings& settings) {
  if (node.null()) return;
  const std::string type = node["type"].text();
  if (type == "Sequence") {
    for (const Node& item : node["normalizers"].items()) read_normalizer(item, settings);
    return;
  }
  NormalizeStep step;
  if (type == "Replace") {
    step.kind = NormalizeStep::Kind::replace;
    step.pattern = pattern_of(node["pattern"]);
    step.text = node["content"].text();
  } else if (type == "Prepend") {
    step.kind = NormalizeStep::Kind::prepend;
    step.text = node["prepend"].text();
  } else if (type == "Lowercase") {
    step.kind = NormalizeStep::Kind::lower;
  } else if (type == "Strip") {
    step.kind = NormalizeStep::Kind::strip;
    if (node["strip_left"].flag(true)) step.text += 'l';
    if (node["strip_right"].flag(true)) step.text += 'r';
  } else if (type == "Precompiled") {
    step.kind = NormalizeStep::Kind::charsmap;
    step.text = bytes_of_base64(node["precompiled_charsmap"]);
    step.table = std::make_shared<const Charsmap>(step.text, node.where());
  } else if (type != "NFC") {
    node.fail("is \"" + type +
              "\"; supported normalizers are Lowercase, NFC, Precompiled, Prepend, Replace, Strip and Sequence");
  }
  settings.normalize.push_back(std::move(step));
}

bool read_pre_tokenizer(const Node& node, TokenizerSettings& settings) {
  bool mapped = false;
  if (!node.null()) read_step(node, settings, mapped);
  return mapped;
}

void read_decoder(const Node& node, TokenizerSettings& settings) {
  DecodeStep step;
  if (node.null()) {
    step.kind = DecodeStep::Kind::spaces;
    settings.decode.push_back(std::move(step));
    return;
  }
  const std::string type = node["type"].text();
  if (type == "Sequence") {
    for (const Node& item : node["decoders"].items()) read_decoder(item, settings);
    return;
  }
  if (type == "Replace") {
    step.kind = DecodeStep::Kind::replace;
    step.pattern = pattern_of(node["pattern"]);
    step.text = node["content"].text();
  } else if (type == "ByteFallback") {
    step.kind = DecodeStep::Kind::bytes;
    step.ill_formed = DecodeStep::IllFormed::whole_run;
  } else if (type == "Strip") {
    step.kind = DecodeStep::Kind::strip;
    step.text = character_of(node["content"]);
    step.left = count_of(node["start"]);
    step.right = count_of(node["stop"]);
  } else if (type == "Metaspace") {
    step.kind = DecodeStep::Kind::metaspace;
    step.text = mark_of(node);
    step.prefixed = prepend_of(node) != Metaspace::Prepend::never;
  } else if (type != "Fuse") {
    node.fail("is \"" + type + "\"; supported decoders are ByteFallback, Fuse, Metaspace, Replace, Strip and Sequence");
  }
  settings.decode.push_back(std::move(step));
}

}  // namespace stamp
