// For scripts/reference: what this program makes of a model, in a form Python compares with other libraries.
//   reference_dump ids MODEL TEXTS.json special|plain   one line of ids for each string of the JSON list
//   reference_dump folder FOLDER TEXTS.json special|plain   the same with a tokenizer's own folder
//   reference_dump wordpiece VOCAB.txt TEXTS.json special|plain   the same with BERT's WordPiece and ImageReward's
//   tokens reference_dump tensors MODEL                        one line "name sha256" for each float tensor, of its
//   float32 values
#include <cstdio>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "base/sha256.h"
#include "formats/checkpoint.h"
#include "formats/dtype.h"
#include "formats/json_text.h"
#include "tokenizer/folder.h"
#include "tokenizer/wordpiece.h"

namespace {

void print_ids(const stamp::Tokenizer& tokenizer, const std::string& path, bool special) {
  for (const stamp::Json& text : stamp::parse_json(stamp::read_file(path), path))
    std::printf("%s\n", stamp::Json(tokenizer.encode(text.get<std::string>(), special)).dump().c_str());
}

void print_tensors(const stamp::Checkpoint& model) {
  for (const stamp::TensorInfo& tensor : model.tensors()) {
    if (!stamp::is_floating(tensor.type)) continue;
    std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
    stamp::read_rows(tensor, 0, tensor.rows(), values.data());
    const std::string_view bytes(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
    std::printf("%s %s\n", tensor.name.c_str(), stamp::sha256_hex(bytes).c_str());
  }
}

}  // namespace

int main(int count, char** arguments) {
  const std::vector<std::string> words(arguments + 1, arguments + count);
  try {
    if (words.size() == 4 && words[0] == "ids") {
      print_ids(*stamp::open_tokenizer(*stamp::open_checkpoint(words[1])), words[2], words[3] == "special");
    } else if (words.size() == 4 && words[0] == "folder") {
      print_ids(*stamp::open_tokenizer_folder(words[1]), words[2], words[3] == "special");
    } else if (words.size() == 4 && words[0] == "wordpiece") {
      print_ids(*stamp::open_wordpiece(words[1], {"[DEC]", "[ENC]"}), words[2], words[3] == "special");
    } else if (words.size() == 2 && words[0] == "tensors") {
      print_tensors(*stamp::open_checkpoint(words[1]));
    } else {
      std::fprintf(
          stderr,
          "usage: reference_dump ids MODEL TEXTS.json special|plain | folder FOLDER TEXTS.json special|plain | "
          "wordpiece VOCAB.txt TEXTS.json special|plain | tensors MODEL\n");
      return 2;
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
