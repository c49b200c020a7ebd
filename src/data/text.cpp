#include "data/text.h"

#include <cstdlib>
#include <optional>

#include "base/error.h"
#include "base/files.h"
#include "base/seed.h"
#include "base/sha256.h"
#include "base/text.h"
#include "data/wikitext.h"
#include "formats/json_text.h"
#include "formats/utf8.h"

namespace stamp {
namespace {

constexpr std::uint64_t kLargestText = std::uint64_t{1} << 30;

// Evaluation and calibration must not read the same text where one file has to serve both.
enum class Part { whole, first_half, second_half };

struct KnownText {
  const char* name;
  const char* summary;
  const char* source;
  std::vector<const char*> files;    // below any of text_folders()
  std::vector<const char*> aliases;  // known texts to try in turn; then `files` is empty
  Part part = Part::whole;
};

const std::vector<KnownText>& table() {
  static const std::vector<KnownText> texts = {
      {"wikitext2-test",
       "WikiText-2 raw, test split, 4358 rows joined with blank lines",
       "Merity et al. 2016, arXiv:1609.07843; joining: methods 13.1",
       {"wiki.test.raw", "wikitext-2-raw/wiki.test.raw"},
       {}},
      {"wikitext2-train",
       "WikiText-2 raw, head of the train split, rows joined with blank lines",
       "Merity et al. 2016, arXiv:1609.07843; joining: methods 13.1",
       {"wiki.train.head.raw", "wikitext-2-raw/wiki.train.head.raw"},
       {}},
      {"python-topics",
       "first half of the English help texts that ship with Python (pydoc_data/topics.py)",
       "Python Software Foundation; written by scripts/setup.sh",
       {"python-topics.txt"},
       {},
       Part::first_half},
      {"python-topics-train",
       "second half of the English help texts that ship with Python, for calibration",
       "Python Software Foundation; written by scripts/setup.sh",
       {"python-topics.txt"},
       {},
       Part::second_half},
      {"wikipedia",
       "first half of an extract of English Wikipedia, plain paragraphs between <doc> lines, not pre-tokenized",
       "Wikipedia contributors, CC BY-SA",
       {"wikipedia_extract.utf8.txt", "text/wikipedia_extract.utf8.txt"},
       {},
       Part::first_half},
      {"wikipedia-train",
       "second half of that extract, for calibration",
       "Wikipedia contributors, CC BY-SA",
       {"wikipedia_extract.utf8.txt", "text/wikipedia_extract.utf8.txt"},
       {},
       Part::second_half},
      {"frankenstein",
       "a novel of 1818, whole: long sentences, one voice",
       "M. Shelley, Frankenstein; public domain",
       {"frankenstein.txt", "text/frankenstein.txt"},
       {}},
      {"tinystories",
       "short stories in the words of small children: far from WikiText-2",
       "Eldan and Li 2023, arXiv:2305.07759",
       {"tinystories.utf8.txt", "text/tinystories.utf8.txt"},
       {}},
      {"english",
       "the first that is found of wikitext2-test and python-topics",
       "for evaluation on any machine",
       {},
       {"wikitext2-test", "python-topics"}},
      {"english-train",
       "the first that is found of wikitext2-train and python-topics-train",
       "for calibration on any machine",
       {},
       {"wikitext2-train", "python-topics-train"}},
  };
  return texts;
}

const KnownText* known(const std::string& name) {
  for (const KnownText& text : table())
    if (name == text.name) return &text;
  return nullptr;
}

std::optional<fs::path> find_file(const KnownText& text) {
  std::error_code code;
  for (const std::string& folder : text_folders())
    for (const char* file : text.files)
      if (const fs::path path = fs::path(folder) / file; fs::is_regular_file(path, code)) return path;
  return std::nullopt;
}

[[noreturn]] void not_found(const std::string& what, const std::vector<const char*>& files) {
  std::vector<std::string> names;
  for (const char* file : files)
    if (std::string(file).find('/') == std::string::npos) names.emplace_back(file);
  throw DataError("text \"" + what + "\": no " + join(names, " and no ") +
                  " (or the same below wikitext-2-raw/ or text/) in " + join(text_folders(), ", ") +
                  "; $STAMP_DATA names a folder to look in first, and a path to a UTF-8 file works too");
}

// A known text that is not an alias and whose file exists, or nothing when `name` is not a known text.
struct Found {
  const KnownText* text;
  fs::path path;
};
std::optional<Found> find_known(const std::string& name) {
  const KnownText* text = known(name);
  if (text == nullptr) return std::nullopt;
  if (text->aliases.empty()) {
    if (const auto path = find_file(*text)) return Found{text, *path};
    not_found(name, text->files);
  }
  std::vector<const char*> tried;
  for (const char* alias : text->aliases) {
    const KnownText* candidate = known(alias);
    if (const auto path = find_file(*candidate)) return Found{candidate, *path};
    tried.push_back(candidate->files.front());
  }
  not_found(name, tried);
}

fs::path user_path(const std::string& given, const std::string& base) {
  const fs::path path(given);
  return path.is_absolute() || base.empty() ? path : fs::path(base) / path;
}

void require_file(const fs::path& path, const std::string& given) {
  std::error_code code;
  if (fs::is_regular_file(path, code)) return;
  if (fs::exists(path, code)) throw DataError("text \"" + given + "\": " + path.string() + " is not a regular file");
  std::vector<std::string> names;
  for (const KnownText& text : table()) names.emplace_back(text.name);
  throw DataError("text \"" + given + "\": neither a known text (" + join(names, ", ") + ") nor a file at " +
                  path.string() + did_you_mean(given, names));
}

// Cut behind the blank line that follows the middle, so that both halves are whole paragraphs.
std::string part_of(std::string content, Part part) {
  if (part == Part::whole) return content;
  std::size_t cut = content.find("\n\n", content.size() / 2);
  cut = cut == std::string::npos ? content.size() : cut + 2;
  return part == Part::first_half ? content.substr(0, cut) : content.substr(cut);
}

Text read_text(const std::string& name, const fs::path& path, Part part) {
  std::string raw = read_file(path, kLargestText);
  if (const std::size_t good = well_formed_bytes(raw); good < raw.size())
    throw DataError("text \"" + name + "\": " + path.string() + " is not UTF-8 text: byte " + std::to_string(good) +
                    " (" + place_in(raw, good) + ") does not begin a character");
  const bool rows = path.extension() == ".raw";
  Text text;
  text.name = name;
  text.protocol = rows ? "rows joined" : "one string";
  text.content = part_of(rows ? joined_rows(raw) : std::move(raw), part);
  text.digest = sha256_hex(text.content);
  text.path = path.string();
  if (text.content.empty()) throw DataError("text \"" + name + "\": " + path.string() + " is empty");
  return text;
}

bool only_white_space(std::string_view line) {
  return line.find_first_not_of(" \t\n\v\f\r") == std::string_view::npos;
}

}  // namespace

std::string joined_rows(std::string_view raw) {
  std::string joined;
  joined.reserve(raw.size() + raw.size() / 64);
  bool first = true;
  while (!raw.empty()) {
    const std::size_t end = raw.find('\n');
    const std::string_view line = raw.substr(0, end == std::string_view::npos ? raw.size() : end + 1);
    raw.remove_prefix(line.size());
    if (!first) joined += "\n\n";
    first = false;
    if (only_white_space(line)) continue;
    joined += line;
    if (line.back() != '\n') joined += '\n';  // the last line of a file may lack it
  }
  return joined;
}

std::vector<std::string> text_folders() {
  std::vector<std::string> folders;
  if (const char* own = std::getenv("STAMP_DATA"); own != nullptr && *own != '\0') folders.emplace_back(own);
  const fs::path repository(STAMP_SOURCE_DIR);
  folders.push_back((repository / ".data").string());
  folders.push_back((repository.parent_path() / "shared" / "data").string());
  return folders;
}

std::string resolve_text(const std::string& name_or_path, const std::string& base) {
  if (const auto found = find_known(name_or_path)) return found->text->name;
  const fs::path path = user_path(name_or_path, base);
  require_file(path, name_or_path);
  return path.lexically_normal().string();
}

Text load_text(const std::string& name_or_path, const std::string& base) {
  if (const auto found = find_known(name_or_path)) return read_text(found->text->name, found->path, found->text->part);
  const fs::path path = user_path(name_or_path, base);
  require_file(path, name_or_path);
  return read_text(path.filename().string(), path, Part::whole);
}

std::vector<PluginInfo> known_texts() {
  std::vector<PluginInfo> infos;
  for (const KnownText& text : table()) {
    PluginInfo info;
    info.name = text.name;
    info.summary = text.summary;
    info.source = text.source;
    info.cost = "none";
    infos.push_back(std::move(info));
  }
  return infos;
}

std::vector<std::int64_t> window_starts(std::int64_t tokens, const WindowRequest& request,
                                        const std::string& text_name) {
  if (request.context <= 0 || request.count < 0)
    throw Error(ExitCode::internal, "windows of " + std::to_string(request.context) + " tokens, " +
                                        std::to_string(request.count) + " of them");
  const std::int64_t available = tokens / request.context;
  const std::string what = "text \"" + text_name + "\" has " + std::to_string(tokens) + " tokens";
  if (available == 0) throw DataError(what + ", less than one window of " + std::to_string(request.context));
  if (request.count > available)
    throw DataError(what + ", enough for " + std::to_string(available) + " windows of " +
                    std::to_string(request.context) + ", but " + std::to_string(request.count) + " are asked for");
  const std::int64_t count = request.count == 0 ? available : request.count;
  std::vector<std::int64_t> starts;
  if (request.random)
    starts = permutation(available, request.seed, "text windows");
  else
    for (std::int64_t i = 0; i < count; ++i) starts.push_back(i);
  starts.resize(static_cast<std::size_t>(count));
  for (std::int64_t& start : starts) start *= request.context;
  return starts;
}

}  // namespace stamp
