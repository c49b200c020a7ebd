#include "cli/figures.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <set>

#include "base/error.h"
#include "base/text.h"
#include "cli/terminal.h"
#include "report/plot_data.h"

namespace stamp {

namespace {

constexpr std::uintmax_t largest_figure = 4 << 20;  // bytes; a page that nobody can open helps nobody
// A copied folder has its files' times in the order of copying, within moments of each other.
constexpr auto same_moment = std::chrono::seconds(2);

// What scripts/plot.py draws: NAME from NAME.csv, or NAME-part of each of several models or protocols.
const std::vector<std::string>& names_drawn() {
  static const std::vector<std::string> names{"perplexity", "bound", "energy", "curves", "images", "steps", "blocks"};
  return names;
}

// The name of the figure whose part this is; "" for a picture that is none of ours.
std::string drawn_name(const std::string& stem) {
  for (const std::string& name : names_drawn())
    if (stem == name || stem.starts_with(name + "-")) return name;
  return "";
}

bool holds(const fs::path& file, const std::string& text) {
  try {
    return read_file(file) == text;
  } catch (const DataError&) {
    return false;
  }
}

// Names of figures whose data on the disk are those that the records give now.
std::set<std::string> with_present_data(const RunStore& store, const ReportSource& source) {
  std::set<std::string> names;
  for (const PlotFile& file : plot_files(source))
    if (holds(store.plots_folder() / file.name, file.text)) names.insert(fs::path(file.name).stem().string());
  return names;
}

std::set<fs::path> pictures(const RunStore& store) {
  std::set<fs::path> files;
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator(store.plots_folder(), ec)) {
    const fs::path extension = entry.path().extension();
    if ((extension == ".svg" || extension == ".png") && entry.is_regular_file(ec)) files.insert(entry.path());
  }
  return files;
}

bool is_stale(const fs::path& picture, const std::set<std::string>& present) {
  const std::string name = drawn_name(picture.stem().string());
  if (name.empty()) return false;
  if (!present.contains(name)) return true;
  std::error_code ec;
  const auto drawn = fs::last_write_time(picture, ec);
  const auto written = fs::last_write_time(picture.parent_path() / (name + ".csv"), ec);
  return !ec && drawn + same_moment < written;
}

}  // namespace

DrawnFigures drawn_figures(const RunFolder& run, const ReportSource& source) {
  DrawnFigures out;
  const bool committed = !is_run_folder(run.store.folder().string());
  const std::set<fs::path> files = pictures(run.store);
  const std::set<std::string> present =
      committed || files.empty() ? std::set<std::string>() : with_present_data(run.store, source);
  std::map<std::string, fs::path> chosen;
  for (const fs::path& file : files) {
    if (!committed && is_stale(file, present)) continue;
    fs::path& best = chosen[file.stem().string()];
    if (best.empty() || file.extension() == ".svg") best = file;
  }
  for (const fs::path& file : files) {
    const std::string name = file.stem().string();
    if (!chosen.contains(name) && std::find(out.stale.begin(), out.stale.end(), name) == out.stale.end())
      out.stale.push_back(name);
  }
  for (const auto& [name, file] : chosen) {
    std::error_code ec;
    if (fs::file_size(file, ec) > largest_figure) {
      say(fmt::format("{}: left out, larger than {}", file.string(), bytes_text(largest_figure)));
      continue;
    }
    out.figures.push_back({name, file.extension() == ".svg" ? "image/svg+xml" : "image/png", read_file(file)});
  }
  return out;
}

std::vector<std::string> write_plot_data(const RunStore& store, const ReportSource& source) {
  make_folder(store.plots_folder());
  std::vector<std::string> written;
  for (const PlotFile& file : plot_files(source)) {
    const fs::path path = store.plots_folder() / file.name;
    if (!holds(path, file.text)) write_file_atomic(path, file.text);
    written.push_back(file.name);
  }
  for (const std::string& name : names_drawn()) {
    std::error_code ec;
    const std::string file = name + ".csv";
    if (std::find(written.begin(), written.end(), file) == written.end()) fs::remove(store.plots_folder() / file, ec);
  }
  return written;
}

void remove_stale_figures(const RunStore& store, const std::vector<std::string>& written) {
  std::set<std::string> present;
  for (const std::string& file : written) present.insert(fs::path(file).stem().string());
  std::error_code ec;
  for (const fs::path& picture : pictures(store))
    if (is_stale(picture, present)) fs::remove(picture, ec);
}

}  // namespace stamp
