// Shell completion, generated from the command line as it is declared and from the catalog: nothing is listed twice.
#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "cli/kinds.h"
#include "cli/run_folder.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "config/schema.h"
#include "sweep/shipped.h"

namespace stamp {

namespace {

struct Options {
  std::string shell;
};

struct Verb {
  std::string name, summary;
  std::vector<std::string> flags;
};

std::vector<Verb> verbs_of(const CLI::App& app) {
  std::vector<Verb> verbs;
  for (const CLI::App* sub : app.get_subcommands({})) {
    Verb v{sub->get_name(), sub->get_description(), {}};
    for (const CLI::Option* o : sub->get_options())
      for (const std::string& l : o->get_lnames()) v.flags.push_back("--" + l);
    verbs.push_back(std::move(v));
  }
  return verbs;
}

// "settings" and every kind's names, as `describe` takes them.
struct Words {
  std::string verbs, kinds, settings, experiments;
  std::vector<std::pair<std::string, std::string>> names;  // kind -> names
};

// Of the moment at which the completion is made; none where the program has no experiments beside it.
std::string shipped_names() {
  try {
    std::vector<std::string> names;
    for (const ShippedExperiment& e : shipped_experiments(experiments_folder())) names.push_back(e.name);
    return join(names, " ");
  } catch (const DataError&) {
    return "";
  }
}

Words words_of(const Front& front, const std::vector<Verb>& verbs) {
  Words w;
  std::vector<std::string> list;
  for (const Verb& v : verbs) list.push_back(v.name);
  w.verbs = join(list, " ");
  list.clear();
  for (const KindName& k : kind_names()) {
    list.push_back(k.word);
    w.names.emplace_back(k.word, join(front.catalog.names(k.kind), " "));
  }
  list.push_back("settings");
  w.kinds = join(list, " ");
  const Schema schema(front.catalog);
  w.settings = join(schema.paths(), " ");
  w.names.emplace_back("settings", w.settings);
  w.experiments = shipped_names();
  return w;
}

std::string bash(const std::vector<Verb>& verbs, const Words& w) {
  std::string out =
      "# source <(stamp completion bash)\n_stamp() {\n"
      "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb=${COMP_WORDS[1]}\n"
      "  COMPREPLY=()\n"
      "  if [ \"$COMP_CWORD\" -eq 1 ]; then COMPREPLY=($(compgen -W \"";
  out += w.verbs + " --help --version\" -- \"$cur\")); return; fi\n";
  out += "  case $prev in\n";
  out += "    --set|--only) COMPREPLY=($(compgen -S = -W \"" + w.settings +
         "\" -- \"$cur\")); compopt -o nospace; return;;\n";
  out += "    --figure) COMPREPLY=($(compgen -W \"perplexity bound energy\" -- \"$cur\")); return;;\n";
  out += "    --layout) COMPREPLY=($(compgen -W \"grid long\" -- \"$cur\")); return;;\n";
  out +=
      "    --format)\n      case $verb in\n        table) COMPREPLY=($(compgen -W \"md tex csv\" -- \"$cur\"));;\n"
      "        export) COMPREPLY=($(compgen -W \"csv sqlite\" -- \"$cur\"));;\n        plan) COMPREPLY=($(compgen -W "
      "\"text json\" -- \"$cur\"));;\n"
      "        explain) COMPREPLY=($(compgen -W \"text svg json\" -- \"$cur\"));;\n"
      "      esac\n      return;;\n";
  out += "  esac\n  case $verb in\n";
  out += "    completion) COMPREPLY=($(compgen -W \"bash zsh fish\" -- \"$cur\")); return;;\n";
  out += "    reproduce) if [ \"$COMP_CWORD\" -eq 2 ] && [[ $cur != -* ]]; then COMPREPLY=($(compgen -W \"" +
         w.experiments + "\" -- \"$cur\")); return; fi;;\n";
  out += "    describe)\n      if [ \"$COMP_CWORD\" -eq 2 ]; then COMPREPLY=($(compgen -W \"" + w.kinds +
         "\" -- \"$cur\")); return; fi\n      case ${COMP_WORDS[2]} in\n";
  for (const auto& [kind, names] : w.names)
    out += "        " + kind + ") COMPREPLY=($(compgen -W \"" + names + "\" -- \"$cur\"));;\n";
  out += "      esac\n      return;;\n  esac\n";
  out += "  if [[ $cur == -* ]]; then\n    case $verb in\n";
  for (const Verb& v : verbs)
    out += "      " + v.name + ") COMPREPLY=($(compgen -W \"" + join(v.flags, " ") + "\" -- \"$cur\"));;\n";
  out +=
      "    esac\n    return\n  fi\n  COMPREPLY=($(compgen -f -- \"$cur\"))\n}\ncomplete -o filenames -F _stamp stamp\n";
  return out;
}

std::string zsh(const std::vector<Verb>& verbs, const Words& w) {
  const auto quoted = [](std::string text) {
    std::string out;
    for (char c : text) out += c == '\'' ? std::string("'\\''") : c == ':' ? std::string("\\:") : std::string(1, c);
    return out;
  };
  std::string out = "#compdef stamp\n# source <(stamp completion zsh)\n_stamp() {\n  local -a verbs\n  verbs=(\n";
  for (const Verb& v : verbs) out += "    '" + v.name + ":" + quoted(v.summary) + "'\n";
  out += "  )\n  if (( CURRENT == 2 )); then _describe verb verbs; return; fi\n";
  out += "  case ${words[CURRENT-1]} in\n    --set|--only) compadd -S = -- " + w.settings + "; return;;\n";
  out += "    --figure) compadd perplexity bound energy; return;;\n    --layout) compadd grid long; return;;\n";
  out +=
      "    --format)\n      case ${words[2]} in\n        table) compadd md tex csv;;\n        export) compadd csv "
      "sqlite;;\n        plan) compadd text json;;\n        explain) compadd text svg json;;\n"
      "      esac\n      return;;\n  esac\n";
  out +=
      "  case ${words[2]} in\n    completion) compadd bash zsh fish; return;;\n    reproduce) if (( CURRENT == 3 )) && "
      "[[ ${words[3]} != -* ]]; then compadd -- " +
      w.experiments +
      "; return; fi;;\n    describe)\n      if (( CURRENT == 3 "
      ")); then compadd -- " +
      w.kinds + "; return; fi\n      case ${words[3]} in\n";
  for (const auto& [kind, names] : w.names) out += "        " + kind + ") compadd -- " + names + ";;\n";
  out += "      esac\n      return;;\n  esac\n  if [[ ${words[CURRENT]} == -* ]]; then\n    case ${words[2]} in\n";
  for (const Verb& v : verbs) out += "      " + v.name + ") compadd -- " + join(v.flags, " ") + ";;\n";
  out += "    esac\n    return\n  fi\n  _files\n}\ncompdef _stamp stamp\n";
  return out;
}

std::string fish(const std::vector<Verb>& verbs, const Words& w) {
  const auto quoted = [](const std::string& text) {
    std::string out;
    for (char c : text) out += c == '\'' || c == '\\' ? std::string("\\") + c : std::string(1, c);
    return out;
  };
  std::string out = "# stamp completion fish | source\n";
  for (const Verb& v : verbs)
    out += fmt::format("complete -c stamp -n __fish_use_subcommand -a {} -d '{}'\n", v.name, quoted(v.summary));
  for (const Verb& v : verbs)
    for (const std::string& f : v.flags) {
      const char* values = f == "--set" || f == "--only" ? "settings"
                           : f == "--figure"             ? "figure"
                           : f == "--layout"             ? "layout"
                                                         : "";
      const std::string list = values == std::string("settings") ? w.settings
                               : values == std::string("figure") ? "perplexity bound energy"
                               : values == std::string("layout") ? "grid long"
                                                                 : "";
      const std::string extra = list.empty() ? "" : " -x -a '" + list + "'";
      out += fmt::format("complete -c stamp -n '__fish_seen_subcommand_from {}' -l {}{}\n", v.name, f.substr(2), extra);
    }
  out += "complete -c stamp -n '__fish_seen_subcommand_from completion' -f -a 'bash zsh fish'\n";
  out += "complete -c stamp -n '__fish_seen_subcommand_from reproduce' -f -a '" + w.experiments + "'\n";
  out += "complete -c stamp -n '__fish_seen_subcommand_from describe' -f -a '" + w.kinds + "'\n";
  for (const auto& [kind, names] : w.names)
    out += fmt::format(
        "complete -c stamp -n '__fish_seen_subcommand_from describe; and __fish_seen_subcommand_from {}' -f -a '{}'\n",
        kind, names);
  return out;
}

ExitCode run(const Front& front, const Options& options) {
  const std::vector<Verb> verbs = verbs_of(front.app);
  const Words words = words_of(front, verbs);
  data(options.shell == "bash" ? bash(verbs, words) : options.shell == "zsh" ? zsh(verbs, words) : fish(verbs, words));
  return ExitCode::done;
}

}  // namespace

void add_completion(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = add_verb(app, action, "completion", "Completion for bash, zsh or fish",
                            "  source <(stamp completion bash)\n"
                            "  stamp completion fish > ~/.config/fish/completions/stamp.fish",
                            options, run);
  verb->add_option("SHELL", options->shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
}

}  // namespace stamp
