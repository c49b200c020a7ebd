#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/option_info.h"
#include "base/text.h"
#include "cli/kinds.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "config/schema.h"

namespace stamp {

namespace {

struct Options {
  std::string kind, name;
  bool markdown = false;
};

std::string fallback_text(const Json& fallback) {
  if (fallback.is_null()) return "auto";
  return fallback.is_string() ? fallback.get<std::string>() : fallback.dump();
}

std::string range_text(const OptionInfo& o) {
  if (o.type == OptionInfo::Type::choice) return join(o.choices, " | ");
  if (option::is_names(o)) return std::string("list out of ").append(option::choices_text(o.choices));
  if (o.type == OptionInfo::Type::boolean) return "true | false";
  const bool count = o.type == OptionInfo::Type::count;
  std::string text = o.type == OptionInfo::Type::integer || count ? "integer"
                     : o.type == OptionInfo::Type::real           ? "number"
                                                                  : "text";
  if (count) text = "s/N or " + text;
  if (o.min && o.max) return fmt::format("{} {} to {}", text, number_text(*o.min), number_text(*o.max));
  if (o.min) return fmt::format("{} >= {}", text, number_text(*o.min));
  if (o.max) return fmt::format("{} <= {}", text, number_text(*o.max));
  return text;
}

std::string plugin_text(const PluginInfo& info) {
  std::string out = fmt::format("{}: {}\n", info.name, info.summary);
  if (!info.source.empty()) out += fmt::format("  source: {}\n", info.source);
  if (!info.cost.empty()) out += fmt::format("  cost: {}\n", info.cost);
  if (info.reads_calibration()) out += "  needs calibration samples\n";
  if (info.options.empty()) return out + "  no options\n";
  std::vector<std::vector<std::string>> rows{{"  option", "default", "allowed", "meaning"}};
  for (const OptionInfo& o : info.options)
    rows.push_back({"  " + o.name, fallback_text(o.fallback), range_text(o), o.help});
  return out + columns(rows);
}

std::string settings_text(const Schema& schema, const std::string& prefix) {
  std::vector<std::vector<std::string>> rows{{"setting", "default", "allowed", "meaning"}};
  for (const Field& f : schema.fields()) {
    if (!prefix.empty() && f.path != prefix && !f.path.starts_with(prefix + ".")) continue;
    std::string meaning = f.help;
    if (!f.owner.empty()) meaning += fmt::format(" (of {})", f.owner);
    if (!f.when.empty()) meaning += fmt::format(" (matters {})", f.when);
    rows.push_back({f.path, fallback_text(f.fallback), allowed_text(f), meaning});
  }
  if (rows.size() == 1)
    throw ConfigError(fmt::format("there is no setting \"{}\"{}", prefix, did_you_mean(prefix, schema.paths())));
  return columns(rows);
}

ExitCode run(const Front& front, const Options& options) {
  const Catalog& catalog = front.catalog;
  if (options.markdown) {
    const Schema schema(catalog);
    data(fields_markdown(schema) + "\n" + plugins_markdown(schema));
    return ExitCode::done;
  }
  if (options.kind.empty()) {
    std::vector<std::vector<std::string>> rows{{"kind", "names"}};
    for (const KindName& k : kind_names()) rows.push_back({k.word, join(catalog.names(k.kind), ", ")});
    rows.push_back({"settings", "every setting of a trial: stamp describe settings quantization.weights"});
    data(columns(rows));
    return ExitCode::done;
  }
  if (options.kind == "settings" || options.kind == "setting") {
    data(settings_text(Schema(catalog), options.name));
    return ExitCode::done;
  }
  const KindName* kind = find_kind(options.kind);
  if (!kind) {
    std::vector<std::string> words;
    for (const KindName& k : kind_names()) words.push_back(k.word);
    words.push_back("settings");
    throw ConfigError(fmt::format("there is no kind \"{}\"{}; kinds are {}", options.kind,
                                  did_you_mean(options.kind, words), join(words, ", ")));
  }
  if (options.name.empty()) {
    std::vector<std::vector<std::string>> rows;
    for (const PluginInfo& info : catalog.list(kind->kind)) rows.push_back({info.name, info.summary});
    data(columns(rows));
    return ExitCode::done;
  }
  const PluginInfo* info = catalog.find(kind->kind, options.name);
  if (!info)
    throw ConfigError(fmt::format("{}: there is no \"{}\"{}; there are {}", kind->word, options.name,
                                  did_you_mean(options.name, catalog.names(kind->kind)),
                                  join(catalog.names(kind->kind), ", ")));
  data(plugin_text(*info));
  return ExitCode::done;
}

}  // namespace

const std::vector<KindName>& kind_names() {
  static const std::vector<KindName> names{
      {"models", PluginKind::architecture},  {"transforms", PluginKind::sequence_transform},
      {"methods", PluginKind::method},       {"quantizers", PluginKind::weight_quantizer},
      {"allocators", PluginKind::allocator}, {"metrics", PluginKind::metric},
      {"tasks", PluginKind::task},           {"texts", PluginKind::text},
  };
  return names;
}

const KindName* find_kind(const std::string& word) {
  for (const KindName& k : kind_names()) {
    const std::string plural = k.word, name = name_of(k.kind);
    if (word == plural || word + "s" == plural || word == name || word == name + "s") return &k;
  }
  return nullptr;
}

void add_describe(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* verb =
      add_verb(app, action, "describe",
               "What exists: models, transforms, methods, quantizers, allocators, metrics, tasks, texts, settings",
               "  stamp describe transforms\n"
               "  stamp describe methods quarot",
               options, run);
  verb->add_option("KIND", options->kind,
                   "models, transforms, methods, quantizers, allocators, metrics, tasks, texts or settings");
  verb->add_option("NAME", options->name, "One of them; of settings, the first part of a path");
  verb->add_flag("--markdown", options->markdown, "The reference of all settings and plugins, as Markdown");
}

}  // namespace stamp
