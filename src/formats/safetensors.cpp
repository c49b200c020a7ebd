#include "formats/safetensors.h"

#include <algorithm>
#include <optional>
#include <unordered_map>

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"
#include "formats/json_text.h"
#include "formats/tokenizer_holder.h"

namespace stamp {
namespace {

constexpr std::uint64_t kLargestJson = std::uint64_t{256} << 20;

Json read_json(const fs::path& path) {
  return parse_json(read_file(path, kLargestJson), path.string());
}

Json read_json_object(const fs::path& path) {
  Json value = read_json(path);
  if (!value.is_object()) throw DataError(path.string() + ": must hold one JSON object");
  return value;
}

// Safetensors files together with the JSON files beside them.
class HfCheckpoint : public Checkpoint, public TokenizerHolder {
 public:
  explicit HfCheckpoint(std::string path) : path_(std::move(path)) {}

  std::string format() const override { return "safetensors"; }
  std::string architecture() const override {
    for (const char* key : {"model_type", "_class_name"})
      if (const auto found = config_.find(key); found != config_.end() && found->is_string())
        return found->get<std::string>();
    return "";
  }
  const Json& config() const override { return config_; }
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  std::string path() const override { return path_; }
  std::vector<std::string> files() const override { return files_; }

  TokenizerSource read_tokenizer() const override {
    TokenizerSource source;
    const auto id = [&](const char* key) {
      const auto found = config_.find(key);
      return found != config_.end() && found->is_number_integer() ? found->get<std::int64_t>() : std::int64_t{-1};
    };
    source.bos = id("bos_token_id");
    source.eos = id("eos_token_id");
    source.padding = id("pad_token_id");
    if (tokenizer_.empty()) return source;
    source.tokenizer_json = read_json_object(tokenizer_);
    source.present = true;
    return source;
  }

  void set_config(Json config) { config_ = std::move(config); }
  void read_config(const fs::path& path) {
    config_ = read_json_object(path);
    files_.push_back(path.string());
  }
  void note_file(const fs::path& path) { files_.push_back(path.string()); }
  void find_tokenizer(const fs::path& folder) {
    const fs::path path = folder / "tokenizer.json";
    if (!fs::is_regular_file(path)) return;
    tokenizer_ = path;
    files_.push_back(path.string());
  }
  // Returns the file's __metadata__.
  std::map<std::string, std::string> add_weights(const fs::path& path) {
    auto mapped = std::make_unique<MappedFile>(path);
    SafetensorsFile file = parse_safetensors(mapped->data(), mapped->size(), path.string());
    for (TensorInfo& tensor : file.tensors) {
      const auto [other, fresh] = owner_.emplace(tensor.name, files_.size());
      if (!fresh)
        throw DataError(path.string() + ": the tensor \"" + tensor.name + "\" is also in " + files_[other->second]);
      tensor.file = static_cast<int>(files_.size());
      tensor.mapped = true;
      tensors_.push_back(std::move(tensor));
    }
    files_.push_back(path.string());
    mapped_.push_back(std::move(mapped));
    return std::move(file.metadata);
  }
  // The shards of an index; every tensor it lists must be in the file it names.
  void add_shards(const fs::path& index) {
    const Json json = read_json_object(index);
    const auto map = json.find("weight_map");
    if (map == json.end() || !map->is_object() || map->empty())
      throw DataError(index.string() + ": has no \"weight_map\" object");
    note_file(index);
    std::vector<std::string> shards;
    for (const auto& [tensor, file] : map->items()) {
      const std::string name = file.is_string() ? file.get<std::string>() : "";
      if (name.empty() || name.find('/') != std::string::npos || name == "..")
        throw DataError(index.string() + ": tensor \"" + tensor + "\" is mapped to " +
                        file.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 80) +
                        ", not to a file of the folder");
      shards.push_back(name);
    }
    std::sort(shards.begin(), shards.end());
    shards.erase(std::unique(shards.begin(), shards.end()), shards.end());
    for (const std::string& shard : shards) {
      const fs::path path = index.parent_path() / shard;
      if (!fs::is_regular_file(path)) throw DataError(index.string() + ": the file " + shard + " it names is missing");
      add_weights(path);
    }
    for (const auto& [tensor, file] : map->items()) {
      const auto owner = owner_.find(tensor);
      const fs::path expected = index.parent_path() / file.get<std::string>();
      if (owner == owner_.end() || files_[owner->second] != expected.string())
        throw DataError(index.string() + ": tensor \"" + tensor + "\" is not in " + file.get<std::string>() +
                        ", where it should be");
    }
  }

 private:
  std::string path_;
  Json config_ = Json::object();
  std::vector<std::string> files_;
  std::vector<TensorInfo> tensors_;
  std::vector<std::unique_ptr<MappedFile>> mapped_;
  std::unordered_map<std::string, std::size_t> owner_;
  fs::path tokenizer_;
};

// Language models call their weights "model", diffusers "diffusion_pytorch_model"; a variant without a type in its name
// is preferred, then bf16, then fp16.
struct Weights {
  fs::path path;
  bool index = false;
};
std::optional<Weights> find_weights(const fs::path& folder) {
  for (const char* variant : {"", ".bf16", ".fp16"}) {
    for (const char* stem : {"model", "diffusion_pytorch_model"}) {
      const std::string base = std::string(stem);
      if (const fs::path one = folder / (base + variant + ".safetensors"); fs::is_regular_file(one))
        return Weights{one, false};
      for (const std::string& name :
           {base + ".safetensors.index" + variant + ".json", base + variant + ".safetensors.index.json"})
        if (const fs::path many = folder / name; fs::is_regular_file(many)) return Weights{many, true};
    }
  }
  return std::nullopt;
}

// What lies in a folder that cannot be opened, as a hint.
std::string instead(const fs::path& folder) {
  if (fs::is_regular_file(folder / "model_index.json"))
    return "; it is a diffusers pipeline without a transformer: name one of its component folders";
  std::vector<std::string> found;
  bool pickle = false;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    const std::string extension = entry.path().extension().string();
    if (extension == ".gguf" || extension == ".safetensors") found.push_back(name);
    pickle = pickle || extension == ".bin" || extension == ".pt" || extension == ".pth";
  }
  std::sort(found.begin(), found.end());
  if (found.size() > 5) found.resize(5);
  if (!found.empty()) return "; it holds " + join(found, ", ") + ": name one of them";
  return pickle ? "; PyTorch pickles (.bin, .pt) are not read: convert them to safetensors" : "";
}

}  // namespace

std::unique_ptr<Checkpoint> open_safetensors(const std::string& path) {
  auto checkpoint = std::make_unique<HfCheckpoint>(path);
  const auto metadata = checkpoint->add_weights(path);
  const fs::path folder = fs::path(path).parent_path();
  if (const auto config = metadata.find("config"); config != metadata.end()) {
    Json value = parse_json(config->second, path + ": __metadata__.config");
    if (!value.is_object()) throw DataError(path + ": __metadata__.config must hold one JSON object");
    checkpoint->set_config(std::move(value));
  } else if (const fs::path beside = folder / "config.json"; fs::is_regular_file(beside)) {
    checkpoint->read_config(beside);
    checkpoint->find_tokenizer(folder);
  }
  return checkpoint;
}

std::unique_ptr<Checkpoint> open_folder(const std::string& path) {
  const fs::path folder(path);
  // A diffusers pipeline stands for its denoiser; its other parts are opened by their own folders.
  if (!fs::is_regular_file(folder / "config.json") && fs::is_regular_file(folder / "model_index.json") &&
      fs::is_regular_file(folder / "transformer" / "config.json"))
    return open_folder((folder / "transformer").string());
  if (!fs::is_regular_file(folder / "config.json"))
    throw DataError(path + ": the folder has no config.json" + instead(folder));
  const auto weights = find_weights(folder);
  if (!weights)
    throw DataError(
        path +
        ": the folder has no model.safetensors, model.safetensors.index.json or diffusion_pytorch_model.safetensors" +
        instead(folder));
  auto checkpoint = std::make_unique<HfCheckpoint>(path);
  checkpoint->read_config(folder / "config.json");
  checkpoint->find_tokenizer(folder);
  if (weights->index) {
    checkpoint->add_shards(weights->path);
  } else {
    checkpoint->add_weights(weights->path);
  }
  return checkpoint;
}

}  // namespace stamp
