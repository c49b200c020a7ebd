// Token windows and their protocol; the perplexity of SmolLM2 in the protocol of specification methods 13.1.
#include "models/token_workload.h"

#include <ATen/core/Tensor.h>

#include <cmath>

#include "base/error.h"
#include "support/scratch.h"
#include "unit/models/fixtures.h"

using namespace stamp;

namespace {

// One id a byte.
class Bytes : public Tokenizer {
 public:
  explicit Bytes(std::int64_t bos_id = 1) : bos_(bos_id) {}
  std::vector<std::int32_t> encode(std::string_view text, bool special) const override {
    ++encodings;
    std::vector<std::int32_t> ids;
    if (special && prepends_bos()) ids.push_back(static_cast<std::int32_t>(bos_));
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  std::string decode(const std::vector<std::int32_t>&) const override { return ""; }
  std::int64_t vocabulary() const override { return 256; }
  std::int64_t bos() const override { return bos_; }
  bool prepends_bos() const override { return bos_ == 7; }
  std::string kind() const override { return "bytes"; }
  std::string digest() const override { return "0123456789abcdef"; }
  mutable int encodings = 0;

 private:
  std::int64_t bos_;
};

std::vector<std::int64_t> ids_of(const Workload& workload, std::int64_t i) {
  const WorkItem item = workload.item(i);
  CHECK(item.index == i);
  const at::Tensor& ids = item.inputs.at("ids");
  return {ids.const_data_ptr<std::int64_t>(), ids.const_data_ptr<std::int64_t>() + ids.numel()};
}

using Ids = std::vector<std::int64_t>;

}  // namespace

TEST_CASE("windows cut a text's ids in order, without the tail") {
  const test::Scratch scratch;
  const auto path = scratch.path() / "letters.txt";
  test::spill(path, "abcdefghij");
  const Bytes tokenizer;
  const TokenizedTexts texts(tokenizer, 256);
  WindowRequest request;
  request.context = 4;
  const auto all = texts.windows(path.string(), request, "start");
  REQUIRE(all->count() == 2);
  CHECK(all->tokens_per_item() == 4);
  CHECK(ids_of(*all, 0) == Ids{'a', 'b', 'c', 'd'});
  CHECK(ids_of(*all, 1) == Ids{'e', 'f', 'g', 'h'});
  CHECK(all->description().at("tokens") == 10);
  const std::string protocol = all->protocol();
  INFO(protocol);
  CHECK(protocol.rfind("context 4, 2 windows, text letters", 0) == 0);
  CHECK(protocol.find(", tokenizer 01234567, bos start") != std::string::npos);

  const auto with_bos = texts.windows(path.string(), request, "each_window");
  CHECK(ids_of(*with_bos, 0) == Ids{1, 'b', 'c', 'd'});
  CHECK(ids_of(*with_bos, 1) == Ids{1, 'f', 'g', 'h'});
  CHECK(with_bos->protocol() != protocol);
  CHECK(tokenizer.encodings == 1);  // each text once

  request.count = 1;
  CHECK(texts.windows(path.string(), request, "start")->count() == 1);
}

TEST_CASE("a tokenizer that prepends BOS does so once, at the start") {
  const test::Scratch scratch;
  const auto path = scratch.path() / "letters.txt";
  test::spill(path, "abcdefg");
  const Bytes tokenizer(7);
  const TokenizedTexts texts(tokenizer, 256);
  WindowRequest request;
  request.context = 4;
  const auto windows = texts.windows(path.string(), request, "start");
  CHECK(ids_of(*windows, 0) == Ids{7, 'a', 'b', 'c'});
  CHECK(ids_of(*windows, 1) == Ids{'d', 'e', 'f', 'g'});
}

TEST_CASE("texts that are too short, ids that the model does not know, no BOS") {
  const test::Scratch scratch;
  const auto path = scratch.path() / "letters.txt";
  test::spill(path, "abc");
  const Bytes tokenizer(-1);
  WindowRequest request;
  request.context = 4;
  CHECK_THROWS_AS(TokenizedTexts(tokenizer, 256).windows(path.string(), request, "start"), DataError);
  request.context = 2;
  CHECK_THROWS_AS(TokenizedTexts(tokenizer, 98).windows(path.string(), request, "start"), DataError);
  CHECK_THROWS_AS(TokenizedTexts(tokenizer, 256).windows(path.string(), request, "each_window"), DataError);
  CHECK_THROWS_AS(TokenizedTexts(tokenizer, 256).windows((scratch.path() / "none.txt").string(), request, "start"),
                  DataError);
}

TEST_CASE("a fixture opens as a model only with a tokenizer") {
  const auto path = test::fixture_path("llama_tiny_llama3rope.safetensors");
  if (!std::filesystem::exists(path)) {
    WARN("skipped: " + path.string() + " is not there");
    return;
  }
  CHECK_THROWS_AS(open_model({path.string(), "tiny"}), DataError);
  CHECK_THROWS_AS(open_model({"/no/such/model.gguf", "none"}), DataError);
}

// Half a minute: run by name (test_models "[perplexity]").
TEST_CASE("SmolLM2's perplexity on four windows of WikiText-2 is 24.1454", "[.][perplexity]") {
  const std::string path = test::smollm2_path();
  if (path.empty()) {
    WARN("skipped: SmolLM2 is not installed (scripts/setup.sh does it)");
    return;
  }
  const auto model = open_model({path, "SmolLM2"});
  DataSpec data;
  data.windows = 4;
  const auto workload = model->workload(data);
  INFO(workload->protocol());
  CHECK(workload->protocol().rfind(
            "context 2048, 4 windows, text wikitext2-test (rows joined) sha 696cca6b, tokenizer ", 0) == 0);
  CHECK(workload->description().at("tokens") == 304978);
  const std::vector<std::int64_t> first = ids_of(*workload, 0);
  CHECK(Ids(first.begin(), first.begin() + 4) == Ids{1116, 446, 6356, 389});
  const auto network = model->build();
  network->pack();
  double sum = 0;
  for (std::int64_t i = 0; i < 4; ++i) {
    const at::Tensor losses = network->run(workload->item(i)).named.at("token_nll");
    double mean = 0;
    for (std::int64_t j = 0; j < losses.numel(); ++j)
      mean += static_cast<double>(losses.const_data_ptr<float>()[j]) / 2047;
    sum += mean;
  }
  CHECK(std::exp(sum / 4) == Approx(24.1454).epsilon(1e-4));
  WARN("perplexity " << std::exp(sum / 4));
}
