// Evaluation and calibration texts. Known names are searched in $STAMP_DATA, the repository's .data folder and
// ../shared/data beside it; any other value is a path to UTF-8 text. Specification: methods 13.1, 4.4.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/plugin.h"

namespace stamp {

struct Text {
  std::string name;      // "wikitext2-test", or the file's name
  std::string protocol;  // "rows joined" (WikiText rows joined with blank lines) or "one string"
  std::string content;   // UTF-8
  std::string digest;    // SHA-256 of `content`
  std::string path;
};

// `name_or_path` as written in an experiment file; relative paths are relative to `base`. `english` is the first
// that is found of wikitext2-test and python-topics (wikitext2-train and python-topics for calibration:
// `english-train`). DataError lists where it looked, or names the first byte that is no UTF-8.
Text load_text(const std::string& name_or_path, const std::string& base);
// The known name or path that would be read now ("english" -> "wikitext2-test"); DataError when nothing is found.
std::string resolve_text(const std::string& name_or_path, const std::string& base);
std::vector<PluginInfo> known_texts();
std::vector<std::string> text_folders();  // searched, in order

// Token windows. `first` windows from the start, or drawn: starts are a prefix of one seeded permutation of all
// non-overlapping positions, so that fewer samples are a subset of more.
struct WindowRequest {
  std::int64_t context = 2048;
  std::int64_t count = 0;  // 0 = all
  bool random = false;
  std::uint64_t seed = 0;
};
// Start offsets into `tokens` ids. DataError when the text is shorter than one window or `count` exceeds what there is.
std::vector<std::int64_t> window_starts(std::int64_t tokens, const WindowRequest& request,
                                        const std::string& text_name);

}  // namespace stamp
