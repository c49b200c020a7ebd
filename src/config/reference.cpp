// The reference page and the top-level keys.
#include <fmt/format.h>

#include "base/text.h"
#include "config/schema.h"

namespace stamp {
namespace {

std::string cell(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

std::string code(const std::string& text) {
  return text.empty() ? text : fmt::format("`{}`", cell(text));
}

std::string table_row(const std::vector<std::string>& cells) {
  return fmt::format("| {} |\n", join(cells, " | "));
}

std::string table_head(const std::vector<std::string>& titles) {
  return table_row(titles) + table_row(std::vector<std::string>(titles.size(), "---"));
}

std::string fallback_text(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) return number_text(value.get<double>());
  if (!value.is_array()) return value.dump();
  std::vector<std::string> items;
  for (const Json& item : value) items.push_back(fallback_text(item));
  return fmt::format("[{}]", join(items, ", "));
}

// What is allowed, without the names of plugins: they have tables of their own.
std::string allowed_kind(const Field& field) {
  if (!field.names_of) return allowed_text(field);
  const std::string kind = name_of(*field.names_of);
  if (field.type == Field::Type::names) return fmt::format("a list of {} names", kind);
  if (field.type == Field::Type::text_source) return "a known text, or a path (with a / or a .) to UTF-8 text";
  return fmt::format("{} {}", std::string_view("aeiou").find(kind[0]) == std::string_view::npos ? "a" : "an", kind);
}

const std::vector<std::string> option_titles = {"option", "default", "allowed", "meaning", "matters when"};

std::string row(const Field& field, const std::string& allowed) {
  return table_row({code(field.path), code(fallback_text(field.fallback)), cell(allowed), cell(field.help),
                    field.when.empty() ? "always" : cell(field.when)});
}

std::string capitalised(std::string text) {
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 'a' + 'A');
  return text;
}

}  // namespace

const std::vector<FileKey>& file_keys() {
  static const std::vector<FileKey> keys = {
      {"schema", "1", "1", "version of this format"},
      {"name", "text", "the file's name",
       "names the run folder; letters, digits, _, - and . (of `sweep.yaml`: its folder's name)"},
      {"extends", "a list of paths", "[]", "files merged below this one, later ones win; relative to this file"},
      {"sweep", "a map", "{}", "how the trials differ"},
      {"sweep.axes", "a map: path to a list of values", "{}", "every combination of the values becomes a trial"},
      {"sweep.zip", "a list of maps: path to a list of values", "[]", "the lists of one map are walked together"},
      {"sweep.cells", "a list of maps: path to a value", "[]", "single extra trials: the base with these settings"},
      {"sweep.exclude", "a list of {when: map, because: text}", "[]",
       "combinations left out; a list of values under `when` means any of them"},
      {"sweep.repeats", "an integer from 1 to 1000", "1", "how often every trial is run, each with its own seeds"},
      {"table", "a map", "{}", "how results are shown"},
      {"table.rows", "a path or a list of paths", "", "the setting that tells rows apart"},
      {"table.columns", "a path or a list of paths", "", "the setting that tells columns apart"},
      {"table.average", "a path or a list of paths", "",
       "settings whose values repeat one measurement, such as seeds: a cell is their mean and standard deviation"},
      {"table.value", "a metric", "perplexity", "the number in a cell"},
      {"table.paper", "a key into configs/paper", "", "published values shown beside ours"},
      {"table.layout", "grid or long", "grid",
       "grid: rows x columns as above; long: one row a trial, one column a metric"},
  };
  return keys;
}

std::string fields_markdown(const Schema& schema) {
  std::string text = "### Keys of the file\n\n" + table_head({"key", "given as", "default", "meaning"});
  for (const FileKey& key : file_keys()) {
    text += table_row({code(key.path), cell(key.type), code(key.fallback), cell(key.help)});
  }
  text += fmt::format("\n### Settings of a trial\n\n{}", table_head(option_titles));
  for (const Field& field : schema.fields()) {
    if (!field.owner_kind) text += row(field, allowed_kind(field));
  }
  return text;
}

std::string plugins_markdown(const Schema& schema) {
  std::string text;
  for (const PluginKind kind : {PluginKind::method, PluginKind::weight_quantizer, PluginKind::sequence_transform,
                                PluginKind::allocator, PluginKind::metric, PluginKind::text, PluginKind::task}) {
    const std::vector<PluginInfo>& plugins = schema.catalog().list(kind);
    if (plugins.empty()) continue;
    text += fmt::format("{}### {}s\n\n", text.empty() ? "" : "\n", capitalised(name_of(kind)));
    text += table_head({"name", "what it does", "source", "cost online", "calibration"});
    for (const PluginInfo& p : plugins) {
      text += table_row(
          {code(p.name), cell(p.summary), cell(p.source), cell(p.cost), p.reads_calibration() ? "yes" : "no"});
    }
    std::string options;
    for (const Field& field : schema.fields()) {
      if (field.owner_kind != kind) continue;
      options +=
          row(field, allowed_text(field) + (schema.find(field.path).size() > 1 ? " (for " + field.owner + ")" : ""));
    }
    if (!options.empty()) text += fmt::format("\n{}{}", table_head(option_titles), options);
  }
  return text;
}

}  // namespace stamp
