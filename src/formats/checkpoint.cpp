#include "formats/checkpoint.h"

#include <algorithm>
#include <fstream>

#include "base/error.h"
#include "base/files.h"
#include "base/sha256.h"
#include "base/text.h"
#include "formats/dtype.h"
#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "formats/tokenizer_holder.h"

namespace stamp {
namespace {

// A missing path, with what lies nearby.
std::string missing(const fs::path& path) {
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  std::error_code code;
  if (!fs::is_directory(folder, code))
    return path.string() + ": no such file or folder (" + folder.string() + " does not exist)";
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder, code)) names.push_back(entry.path().filename().string());
  return path.string() + ": no such file or folder" + did_you_mean(path.filename().string(), names);
}

std::string first_bytes(const std::string& path, std::size_t count) {
  std::ifstream in(path, std::ios::binary);
  std::string bytes(count, '\0');
  in.read(bytes.data(), static_cast<std::streamsize>(count));
  bytes.resize(static_cast<std::size_t>(std::max<std::streamsize>(in.gcount(), 0)));
  return bytes;
}

}  // namespace

std::int64_t TensorInfo::elements() const {
  std::int64_t product = 1;  // open_checkpoint has checked that it fits
  for (const std::int64_t n : shape) product *= n;
  return product;
}

const TensorInfo* Checkpoint::find(const std::string& name) const {
  const std::vector<TensorInfo>& all = tensors();
  if (index_.size() != all.size()) {
    index_.clear();
    for (std::size_t i = 0; i < all.size(); ++i) index_.emplace_back(all[i].name, i);
    std::sort(index_.begin(), index_.end());
  }
  const auto at = std::lower_bound(index_.begin(), index_.end(), std::pair<std::string, std::size_t>(name, 0));
  return at != index_.end() && at->first == name ? &all[at->second] : nullptr;
}

const TensorInfo& Checkpoint::at(const std::string& name) const {
  if (const TensorInfo* found = find(name)) return *found;
  std::vector<std::string> names;
  for (const TensorInfo& tensor : tensors()) names.push_back(tensor.name);
  throw DataError(path() + ": has no tensor \"" + name + "\" among its " + std::to_string(names.size()) +
                  did_you_mean(name, names));
}

std::string Checkpoint::digest() const {
  Sha256 all;
  for (const std::string& file : files()) {
    all.update(file_digest(file));
    all.update("\n");
  }
  return all.hex();
}

std::unique_ptr<Checkpoint> open_checkpoint(const std::string& path) {
  std::error_code code;
  const fs::file_status status = fs::status(path, code);
  if (path.empty() || !fs::exists(status)) throw DataError(missing(path));
  if (fs::is_directory(status)) return open_folder(path);
  if (!fs::is_regular_file(status)) throw DataError(path + ": is neither a regular file nor a folder");
  const std::string head = first_bytes(path, 9);
  if (head.substr(0, 4) == "GGUF") return open_gguf(path);
  const std::string extension = fs::path(path).extension().string();
  if (extension == ".gguf") return open_gguf(path);  // says what is wrong with the file
  if (extension == ".safetensors" || (head.size() == 9 && head[8] == '{')) return open_safetensors(path);
  const bool pickle = head.substr(0, 2) == "PK" || head.substr(0, 2) == "\x80\x02";
  throw DataError(path + ": is neither GGUF nor safetensors" +
                  (pickle ? "; it looks like a PyTorch pickle: convert it to safetensors" : ""));
}

TokenizerSource tokenizer_source(const Checkpoint& checkpoint) {
  const auto* holder = dynamic_cast<const TokenizerHolder*>(&checkpoint);
  return holder == nullptr ? TokenizerSource() : holder->read_tokenizer();
}

}  // namespace stamp
