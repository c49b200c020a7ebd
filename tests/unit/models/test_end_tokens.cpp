// Ids that end a generated text, from every place where a checkpoint can name them.
#include "models/info/end_tokens.h"
#include "support/catch.h"
#include "support/scratch.h"
#include "unit/models/fake_checkpoint.h"

using namespace stamp;

namespace {

class InFolder : public test::FakeCheckpoint {
 public:
  InFolder(Json config, std::string folder) : FakeCheckpoint(std::move(config), "llama"), folder_(std::move(folder)) {}
  std::string path() const override { return folder_; }

 private:
  std::string folder_;
};

using Ids = std::vector<std::int64_t>;

}  // namespace

TEST_CASE("GGUF: ends of text, turn and message, each once") {
  const test::FakeCheckpoint file(
      {{"tokenizer.ggml.eos_token_id", 2}, {"tokenizer.ggml.eot_token_id", 7}, {"tokenizer.ggml.eom_token_id", 2}},
      "llama", true);
  CHECK(end_tokens(file) == Ids{2, 7});
  CHECK(end_tokens(test::FakeCheckpoint(Json::object(), "llama", true)).empty());
}

TEST_CASE("a folder: generation_config.json wins over config.json") {
  const test::Scratch folder;
  const InFolder model({{"eos_token_id", 5}}, folder.path().string());
  CHECK(end_tokens(model) == Ids{5});
  test::spill(folder.path() / "generation_config.json", R"({"do_sample": true})");
  CHECK(end_tokens(model) == Ids{5});
  test::spill(folder.path() / "generation_config.json", R"({"eos_token_id": [128001, 128009, 128001]})");
  CHECK(end_tokens(model) == Ids{128001, 128009});
  test::spill(folder.path() / "generation_config.json", "{");
  CHECK_THROWS_AS(end_tokens(model), DataError);
  CHECK(end_tokens(test::FakeCheckpoint({{"eos_token_id", nullptr}}, "llama")).empty());
}
