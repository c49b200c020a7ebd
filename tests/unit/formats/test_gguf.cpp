#include "formats/gguf.h"

#include "base/error.h"
#include "support/catch.h"
#include "support/gguf_writer.h"
#include "support/message.h"
#include "support/scratch.h"

using namespace stamp;
using stamp::test::data_error;
using stamp::test::GgufWriter;
using stamp::test::lacks;
using stamp::test::put;
using stamp::test::Scratch;
using stamp::test::spill;

namespace {

GgufFile parse(const std::string& bytes) {
  return parse_gguf(reinterpret_cast<const std::byte*>(bytes.data()), bytes.size(), "x.gguf");
}
std::string refusal(const std::string& bytes) {
  return data_error([&] { parse(bytes); });
}
std::string refusal(const GgufWriter& writer) {
  return refusal(writer.bytes());
}

}  // namespace

TEST_CASE("a GGUF file with everything in it", "[formats]") {
  const Scratch scratch;
  const auto path = scratch.path() / "sample.gguf";
  spill(path, stamp::test::sample_gguf());
  const auto model = open_checkpoint(path.string());
  CHECK(model->format() == "GGUF v3");
  CHECK(model->architecture() == "llama");
  CHECK(model->config().at("llama.block_count") == 2);
  CHECK(model->config().at("llama.attention.layer_norm_rms_epsilon").get<float>() == 1e-5F);
  CHECK(model->config().at("llama.attention.head_count_kv") == Json::array({4, 2}));
  CHECK(model->config().at("general.name") == "sample \ufffd name");
  CHECK_FALSE(model->config().contains("tokenizer.ggml.tokens"));
  CHECK_NOTHROW(model->config().dump());
  CHECK(model->files() == std::vector<std::string>{path.string()});
  CHECK(model->digest().size() == 64);

  const TensorInfo& embedding = model->at("token_embd.weight");
  CHECK(embedding.shape == std::vector<std::int64_t>{6, 4});  // torch order
  std::vector<float> rows(8);
  read_rows(embedding, 4, 2, rows.data());
  CHECK(rows == std::vector<float>{16, 17, 18, 19, 20, 21, 22, 23});
  std::vector<float> row(64);
  read_rows(model->at("blk.0.attn_q.weight"), 0, 1, row.data());
  CHECK(row[33] == 0.5F);
  CHECK(row[31] == 15.5F);
  CHECK(lacks(data_error([&] { model->at("token_embd.wieght"); }), "did you mean \"token_embd.weight\"") == "");

  const TokenizerSource source = tokenizer_source(*model);
  CHECK(source.present);
  CHECK(source.tokens == std::vector<std::string>{"a", "b", "ab", "<s>"});
  CHECK(source.merges == std::vector<std::string>{"a b"});
  CHECK(source.types == std::vector<std::int32_t>{1, 1, 1, 3});
  CHECK(source.bos == 3);
  CHECK(source.eos == -1);
  CHECK(source.add_bos);
}

TEST_CASE("alignment, version 2 and files without tensors", "[formats]") {
  GgufWriter w;
  w.version = 2;
  w.alignment = 256;
  w.u32("general.alignment", 256);
  w.add("a", {2}, {1, 2});
  w.add("b", {1}, {3});
  const std::string bytes = w.bytes();
  const GgufFile file = parse(bytes);
  CHECK(file.version == 2);
  float value = 0;
  read_rows(file.tensors[1], 0, 1, &value);
  CHECK(value == 3);
  CHECK(parse(GgufWriter().bytes()).tensors.empty());
}

TEST_CASE("what is wrong with a GGUF file is said", "[formats]") {
  CHECK(lacks(refusal(""), "ends inside the magic number") == "");
  CHECK(lacks(refusal("GGML\x03"), "does not start with \"GGUF\"") == "");
  GgufWriter w;
  w.version = 1;
  CHECK(lacks(refusal(w), "version 1") == "");
  w.version = 0x03000000;
  CHECK(lacks(refusal(w), "big-endian") == "");

  w = {};
  w.u32("k", 1), w.u32("k", 2);
  CHECK(lacks(refusal(w), "\"k\" appears twice") == "");
  w = {};
  w.raw("k", 13, "x");
  CHECK(lacks(refusal(w), "value type 13") == "");
  w = {};
  w.boolean("k", 7);
  CHECK(lacks(refusal(w), "value 7") == "");
  for (const std::uint32_t alignment : {0U, 3U, 1U << 30}) {
    w = {};
    w.u32("general.alignment", alignment);
    CHECK(lacks(refusal(w), "power of two") == "");
  }
}

TEST_CASE("absurd metadata counts are refused before anything is allocated", "[formats]") {
  for (const std::uint64_t count : {std::uint64_t{1000}, std::uint64_t{1} << 62, ~std::uint64_t{0}}) {
    std::string header = "GGUF";
    put<std::uint32_t>(header, 3);
    std::string many_tensors = header, many_pairs = header;
    put(many_tensors, count), put<std::uint64_t>(many_tensors, 0);
    put<std::uint64_t>(many_pairs, 0), put(many_pairs, count);
    CHECK(lacks(refusal(many_tensors), "tensors, more than the file can hold") == "");
    CHECK(lacks(refusal(many_pairs), "metadata entries, more than the file can hold") == "");
    for (const std::uint32_t element : {0U, 8U, 9U, 12U}) {
      GgufWriter w;
      std::string array;
      put(array, element), put(array, count);
      w.raw("k", 9, array);
      CHECK(lacks(refusal(w), "\"k\" ") == "");
    }
  }
  std::string deep;
  for (int level = 0; level < 100; ++level) put<std::uint32_t>(deep, 9), put<std::uint64_t>(deep, 1);
  GgufWriter w;
  w.raw("k", 9, deep);
  CHECK(lacks(refusal(w), "nests arrays deeper") == "");
}

TEST_CASE("wrong tensors are refused by name", "[formats]") {
  const auto one = [](stamp::test::GgufTensor tensor) {
    GgufWriter w;
    w.tensors.push_back(std::move(tensor));
    w.data = std::string(64, '\0');
    return refusal(w);
  };
  CHECK(lacks(one({"t", {4}, 39, 0}), "\"t\" is stored as MXFP4") == "");
  CHECK(lacks(one({"t", {4}, 9, 0}), "Q8_1") == "");
  CHECK(lacks(one({"t", {4}, 777, 0}), "type 777") == "");
  CHECK(lacks(one({"t", {4}, 0, 8}), "not a multiple of the alignment 32") == "");
  CHECK(lacks(one({"t", {17}, 0, 0}), "reaches beyond the file") == "");
  CHECK(lacks(one({"t", {1}, 0, 64}), "reaches beyond the file") == "");
  CHECK(lacks(one({"t", {1}, 0, ~std::uint64_t{31}}), "reaches beyond the file") == "");
  CHECK(lacks(one({"t", {0}, 0, 0}), "dimension of 0") == "");
  CHECK(lacks(one({"t", {~std::uint64_t{0}}, 0, 0}), "dimension of") == "");
  CHECK(lacks(one({"t", {std::uint64_t{1} << 32, std::uint64_t{1} << 32}, 0, 0}), "impossible shape") == "");
  CHECK(lacks(one({"t", {std::uint64_t{1} << 62}, 0, 0}), "impossible shape") == "");
  CHECK(lacks(one({"t", {1, 1, 1, 1, 1}, 0, 0}), "5 dimensions") == "");
  CHECK(lacks(one({"t", {33}, 8, 0}), "not a multiple of the 32") == "");
  CHECK(lacks(one({"", {1}, 0, 0}), "name of 0 bytes") == "");
  CHECK(lacks(one({std::string(65, 'n'), {1}, 0, 0}), "name of 65 bytes") == "");

  GgufWriter w;
  w.add("t", {8}, std::vector<float>(8));
  w.add("u", {8}, std::vector<float>(8));
  w.tensors[1].offset = 0;
  CHECK(lacks(refusal(w), "\"t\" and \"u\" overlap") == "");
  w.tensors[1] = {"t", {8}, 0, 32};
  CHECK(lacks(refusal(w), "\"t\" appears twice") == "");
}

TEST_CASE("split files are one checkpoint, whichever of them is named", "[formats]") {
  const Scratch scratch;
  const auto file = [&](int no, int count, const std::string& tensor, int claimed) {
    GgufWriter w;
    if (no == 0) w.text("general.architecture", "llama");
    w.u16("split.no", static_cast<std::uint16_t>(no));
    w.u16("split.count", static_cast<std::uint16_t>(count));
    w.i32("split.tensors.count", claimed);
    w.add(tensor, {1}, {static_cast<float>(no)});
    return w.bytes();
  };
  const auto name = [&](int i) {
    return (scratch.path() / ("m-0000" + std::to_string(i) + "-of-00003.gguf")).string();
  };
  const std::string tensors[] = {"a", "b", "c"};
  for (int i = 0; i < 3; ++i) spill(name(i + 1), file(i, 3, tensors[i], 3));
  for (int named = 1; named <= 3; ++named) {
    const auto model = open_checkpoint(name(named));
    CHECK(model->architecture() == "llama");
    CHECK(model->tensors().size() == 3);
    CHECK(model->files() == std::vector<std::string>{name(1), name(2), name(3)});
    float value = 0;
    read_rows(model->at("c"), 0, 1, &value);
    CHECK(value == 2);
    CHECK(model->at("c").file == 2);
  }
  spill(name(2), file(1, 3, "a", 3));
  CHECK(lacks(data_error([&] { open_checkpoint(name(1)); }), "is also in") == "");
  spill(name(2), file(2, 3, "b", 3));
  CHECK(lacks(data_error([&] { open_checkpoint(name(1)); }), "does not agree") == "");
  spill(name(2), file(1, 3, "b", 3));
  spill(name(1), file(0, 3, "a", 9));
  CHECK(lacks(data_error([&] { open_checkpoint(name(1)); }), "split.tensors.count is 9") == "");
  std::filesystem::remove(name(3));
  CHECK(lacks(data_error([&] { open_checkpoint(name(1)); }), "m-00003-of-00003.gguf") == "");
  spill(scratch.path() / "alone.gguf", file(0, 3, "a", 3));
  CHECK(lacks(data_error([&] { open_checkpoint((scratch.path() / "alone.gguf").string()); }), "one of 3 split files") ==
        "");
}

TEST_CASE("paths that hold no checkpoint", "[formats]") {
  const Scratch scratch;
  spill(scratch.path() / "model.gguf", stamp::test::sample_gguf());
  spill(scratch.path() / "text.txt", "hello, world");
  spill(scratch.path() / "old.bin", "PK\x03\x04 and more of it");
  spill(scratch.path() / "empty.gguf", "");
  const auto say = [&](const std::string& name) {
    return data_error([&] { open_checkpoint((scratch.path() / name).string()); });
  };
  CHECK(lacks(say("modle.gguf"), "did you mean \"model.gguf\"") == "");
  CHECK(lacks(say("gone/model.gguf"), "does not exist") == "");
  CHECK(lacks(say("text.txt"), "neither GGUF nor safetensors") == "");
  CHECK(lacks(say("old.bin"), "pickle") == "");
  CHECK(lacks(say("empty.gguf"), "ends inside the magic number") == "");
  CHECK(lacks(say(""), "name one of them") == "");
  CHECK(lacks(data_error([] { open_checkpoint("/dev/null"); }), "neither a regular file nor a folder") == "");
}
