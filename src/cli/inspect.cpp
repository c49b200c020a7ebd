#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>

#include "base/text.h"
#include "cli/one_trial.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "formats/checkpoint.h"
#include "models/info/architecture.h"
#include "models/info/diffusion_config.h"
#include "tokenizer/tokenizer.h"

namespace stamp {

namespace {

struct Options {
  std::string model;
  bool json = false, tensors = false;
};

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::vector<std::string> parts;
  for (std::int64_t n : shape) parts.push_back(std::to_string(n));
  return join(parts, " x ");
}

// What can be said of any checkpoint whose headers are whole.
Json stored(const Checkpoint& checkpoint) {
  std::map<std::string, std::int64_t> types;
  std::uint64_t bytes = 0;
  std::int64_t elements = 0;
  for (const TensorInfo& t : checkpoint.tensors()) {
    ++types[name_of(t.type)];
    bytes += t.bytes;
    elements += t.elements();
  }
  Json j = Json::object();
  j["format"] = checkpoint.format();
  j["architecture"] = checkpoint.architecture();
  j["files"] = checkpoint.files();
  j["tensors"] = checkpoint.tensors().size();
  j["tensor_types"] = types;
  j["tensor_bytes"] = bytes;
  j["elements"] = elements;
  return j;
}

Json tokenizer_json(const Checkpoint& checkpoint) {
  Json j = Json::object();
  try {
    const std::unique_ptr<Tokenizer> t = open_tokenizer(checkpoint);
    j = {{"kind", t->kind()},
         {"vocabulary", t->vocabulary()},
         {"bos", t->bos()},
         {"prepends_bos", t->prepends_bos()},
         {"digest", t->digest()}};
  } catch (const DataError& error) {
    j["refused"] = error.what();
  }
  return j;
}

Json tensors_json(const Checkpoint& checkpoint) {
  Json list = Json::array();
  for (const TensorInfo& t : checkpoint.tensors())
    list.push_back({{"name", t.name}, {"type", name_of(t.type)}, {"shape", t.shape}, {"bytes", t.bytes}});
  return list;
}

std::string plain(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) return number_text(value.get<double>());
  if (value.is_object()) {
    std::vector<std::string> parts;
    for (const auto& [key, v] : value.items()) parts.push_back(key + " " + plain(v));
    return join(parts, ", ");
  }
  if (value.is_array()) {
    std::vector<std::string> parts;
    for (const Json& v : value) parts.push_back(plain(v));
    return parts.empty() ? "none" : join(parts, ", ");
  }
  return value.dump();
}

// Slots by what they are: the layer's number is left out, and counted.
std::string slots_text(const Json& slots) {
  std::vector<std::pair<std::string, std::size_t>> groups;
  for (const Json& s : slots) {
    std::vector<std::string> parts = split(s.value("name", ""), '.');
    const auto number = std::find_if(parts.begin(), parts.end(), [](const std::string& p) {
      return !p.empty() && p.find_first_not_of("0123456789") == std::string::npos;
    });
    if (number != parts.end()) *number = "*";
    std::string where = s.contains("rows") ? ", rows: " + s.value("rows", "") : "";
    if (!s.value("quantized", true)) where += ", not quantized by default";
    const std::string text = fmt::format("{} ({}, {} features{})", join(parts, "."), s.value("kind", ""),
                                         s.value("features", std::int64_t{0}), where);
    const auto it = std::find_if(groups.begin(), groups.end(), [&](const auto& g) { return g.first == text; });
    if (it == groups.end())
      groups.emplace_back(text, 1);
    else
      ++it->second;
  }
  std::string out;
  for (const auto& [text, n] : groups) out += fmt::format("  {} x {}\n", n, text);
  return out;
}

std::string text_of(const Json& about) {
  std::vector<std::vector<std::string>> rows;
  for (const auto& [key, value] : about.items()) {
    if (key == "slots" || key == "tensor_list" || key == "refused") continue;
    std::string text = plain(value);
    if (key == "tensor_bytes") text = bytes_text(value.get<std::uint64_t>());
    if (key == "parameters" || key == "elements") text += fmt::format(" ({:.4g} million)", value.get<double>() / 1e6);
    rows.push_back({key, text});
  }
  std::string out = columns(rows);
  if (const auto slots = about.find("slots"); slots != about.end())
    out += fmt::format("slots: {}\n{}", slots->size(), slots_text(*slots));
  return out;
}

ExitCode run(const Front& front, const Options& options) {
  const std::unique_ptr<Checkpoint> checkpoint = open_checkpoint(model_path(options.model, "inspect", front.catalog));
  Json about = stored(*checkpoint);
  std::string refused;
  try {
    const Json model = describe_model(*checkpoint);
    about.update(model);
  } catch (const DataError& error) {
    refused = error.what();
    about["refused"] = refused;
  }
  // A model of images has none; its text encoder's lies beside that.
  if (!is_diffusion_architecture(checkpoint->architecture())) about["tokenizer"] = tokenizer_json(*checkpoint);
  if (options.json) {
    if (options.tensors) about["tensor_list"] = tensors_json(*checkpoint);
    data(about.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  } else {
    data(text_of(about));
    if (options.tensors) {
      std::vector<std::vector<std::string>> rows{{"tensor", "type", "shape", "bytes"}};
      for (const TensorInfo& t : checkpoint->tensors())
        rows.push_back({t.name, name_of(t.type), shape_text(t.shape), std::to_string(t.bytes)});
      data("\n" + columns(rows));
    }
  }
  if (refused.empty()) return ExitCode::done;
  fail("the file is whole, but cannot be run: " + refused);
  return ExitCode::missing;
}

}  // namespace

void add_inspect(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* verb =
      add_verb(app, action, "inspect",
               "A checkpoint: format, architecture, tensors, tokenizer, parameters, slots; or why it is refused",
               "  stamp inspect models/Llama-3.2-1B --tensors\n"
               "  stamp inspect smollm2-135m",
               options, run);
  verb->add_option("MODEL", options->model,
                   "GGUF file, safetensors file, folder with config.json, a YAML piece with `model:`, or a name of "
                   "configs/models")
      ->required();
  verb->add_flag("--json", options->json, "As JSON, every slot listed");
  verb->add_flag("--tensors", options->tensors, "Every tensor with type and shape");
}

}  // namespace stamp
