#include "formats/safetensors.h"

#include "base/error.h"
#include "support/catch.h"
#include "support/gguf_writer.h"
#include "support/message.h"
#include "support/scratch.h"

using namespace stamp;
using stamp::test::data_error;
using stamp::test::lacks;
using stamp::test::safetensors;
using stamp::test::sample_safetensors;
using stamp::test::Scratch;
using stamp::test::spill;

namespace {

std::string refusal(const std::string& bytes) {
  return data_error(
      [&] { parse_safetensors(reinterpret_cast<const std::byte*>(bytes.data()), bytes.size(), "x.safetensors"); });
}
// One F32 tensor [2] at bytes 0..8 of a buffer of 8 bytes, its entry given as JSON.
std::string refused_entry(const std::string& entry, std::size_t buffer = 8) {
  return refusal(safetensors("{\"t\":" + entry + "}", std::string(buffer, '\0')));
}
std::string one_tensor(const std::string& name, float value) {
  std::string data;
  stamp::test::put(data, value);
  return safetensors("{\"" + name + R"(":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", data);
}

}  // namespace

TEST_CASE("a safetensors file with everything in it", "[formats]") {
  const Scratch scratch;
  const auto path = scratch.path() / "x.safetensors";
  spill(path, sample_safetensors());
  const auto model = open_checkpoint(path.string());
  CHECK(model->format() == "safetensors");
  CHECK(model->architecture() == "llama");  // from __metadata__.config
  CHECK(model->config().at("low").is_null());
  CHECK(model->tensors().size() == 4);
  std::vector<float> row(3);
  read_rows(model->at("w"), 1, 1, row.data());
  CHECK(row == std::vector<float>{3, 4, 5});
  read_rows(model->at("h"), 0, 1, row.data());
  CHECK((row[0] == 1.0F && row[1] == -2.0F));
  CHECK(model->at("empty").elements() == 0);
  CHECK(model->at("ids").elements() == 1);
  CHECK(model->at("ids").type == DType::i64);
  CHECK_THROWS_AS(read_rows(model->at("ids"), 0, 1, row.data()), DataError);
  CHECK_FALSE(tokenizer_source(*model).present);
}

TEST_CASE("what the reference reader refuses is refused", "[formats]") {
  CHECK(lacks(refusal("short"), "ends inside the header's length") == "");
  CHECK(lacks(refusal(safetensors("{", "")), "not valid JSON") == "");
  CHECK(lacks(refusal(safetensors(" {}", "")), "does not start with") == "");
  CHECK(lacks(refusal(safetensors("[]", "")), "does not start with") == "");
  CHECK(lacks(refusal(safetensors("{}", "x")), "the tensors end at byte 0") == "");
  CHECK(refusal(safetensors("{}   ", "")) == "(no DataError)");
  std::string absurd;
  stamp::test::put(absurd, ~std::uint64_t{0});
  CHECK(lacks(refusal(absurd + "{}"), "claims a header of 18446744073709551615 bytes") == "");

  CHECK(refused_entry(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})") == "(no DataError)");
  CHECK(lacks(refused_entry(R"({"dtype":"F32","shape":[2],"data_offsets":[0,12]})"), "bytes 0 to 12") == "");
  CHECK(lacks(refused_entry(R"({"dtype":"F32","shape":[1],"data_offsets":[4,8]})"), "0 comes next") == "");
  CHECK(lacks(refused_entry(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})"), "the tensors end at byte 4") == "");
  CHECK(lacks(refused_entry(R"({"dtype":"F32","shape":[3],"data_offsets":[0,8]})"), "needs 12 bytes and has 8") == "");
  CHECK(lacks(refused_entry(R"({"dtype":"F32","shape":[2],"data_offsets":[8,0]})"), "bytes 8 to 0") == "");
  CHECK(lacks(refused_entry(R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]})"), "impossible") ==
        "");
  CHECK(lacks(refused_entry(R"({"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,8]})"),
              "18446744073709551615") == "");
  CHECK(lacks(refused_entry(R"({"dtype":"F32","shape":[-2],"data_offsets":[0,8]})"), "-2") == "");
  CHECK(lacks(refused_entry(R"({"dtype":"F32","shape":[2.5],"data_offsets":[0,8]})"), "2.5") == "");
  CHECK(lacks(refused_entry(R"({"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]})"), "stored as F8_E4M3") == "");
  CHECK(lacks(refused_entry(R"({"dtype":"Q8_0","shape":[8],"data_offsets":[0,8]})"), "stored as Q8_0") == "");
  CHECK(lacks(refused_entry(R"({"dtype":"F32","data_offsets":[0,8]})"), "has no shape") == "");
  CHECK(lacks(refused_entry(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4,8]})"), "has 8 in \"t\"") == "");
  CHECK(lacks(refused_entry(R"({"dtype":"F32","shape":[2],"data_offsets":[0]})"), "a list of 1") == "");
  CHECK(lacks(refused_entry(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8],"more":1})"),
              "unknown field \"more\"") == "");
  CHECK(lacks(refused_entry(R"({"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]})"), "\"dtype\" twice") ==
        "");
  CHECK(lacks(refused_entry("5"), "the header has 5") == "");
  CHECK(lacks(refused_entry("[[[[]]]]"), "a list") == "");
  CHECK(
      lacks(
          refusal(safetensors(
              R"({"t":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"t":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
              std::string(8, '\0'))),
          "\"t\" twice") == "");
  CHECK(
      lacks(
          refusal(safetensors(
              R"({"t":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"u":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
              std::string(4, '\0'))),
          "without holes or overlaps") == "");
  CHECK(lacks(refusal(safetensors(R"({"__metadata__":{"a":1}})", "")), "the header has 1") == "");
}

TEST_CASE("folders: one file, shards with an index, variants", "[formats]") {
  const Scratch scratch;
  const auto at = [&](const char* name) { return scratch.path() / name; };
  const auto say = [&] { return data_error([&] { open_checkpoint(scratch.path().string()); }); };
  CHECK(lacks(say(), "no config.json") == "");
  spill(at("config.json"),
        R"({"model_type": "qwen2", "bos_token_id": 5, "eos_token_id": [1, 2], "x": NaN, "y": -Infinity, "t": "NaN"})");
  CHECK(lacks(say(), "no model.safetensors") == "");
  spill(at("pytorch_model.bin"), "PK");
  CHECK(lacks(say(), "pickles") == "");
  spill(at("model.bf16.safetensors"), one_tensor("bf16", 1));
  CHECK(open_checkpoint(scratch.path().string())->find("bf16") != nullptr);

  spill(at("model.safetensors.index.json"),
        R"({"metadata": {"total_size": 8}, "weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}})");
  CHECK(lacks(say(), "model-1.safetensors it names is missing") == "");
  spill(at("model-1.safetensors"), one_tensor("a", 1));
  spill(at("model-2.safetensors"), one_tensor("b", 2));
  spill(at("tokenizer.json"), R"({"version": "1.0"})");
  const auto model = open_checkpoint(scratch.path().string());
  CHECK(model->architecture() == "qwen2");
  CHECK(model->config().at("x").is_null());
  CHECK(model->config().at("t") == "NaN");
  CHECK(model->tensors().size() == 2);
  CHECK(model->files()[static_cast<std::size_t>(model->at("b").file)] == at("model-2.safetensors").string());
  CHECK(tokenizer_source(*model).present);
  CHECK(tokenizer_source(*model).bos == 5);
  const std::string before = model->digest();
  spill(at("model-2.safetensors"), one_tensor("b", 3));
  CHECK(open_checkpoint(scratch.path().string())->digest() != before);

  spill(at("model-2.safetensors"), one_tensor("c", 2));
  CHECK(lacks(say(), "\"b\" is not in model-2.safetensors") == "");
  spill(at("model-2.safetensors"), one_tensor("a", 2));
  CHECK(lacks(say(), "is also in") == "");
  spill(at("model.safetensors.index.json"), R"({"weight_map": {"a": "../a.safetensors"}})");
  CHECK(lacks(say(), "not to a file of the folder") == "");
  spill(at("model.safetensors.index.json"), R"({"weight_map": 3})");
  CHECK(lacks(say(), "no \"weight_map\"") == "");

  // A whole file without a variant in its name is preferred to all of these.
  spill(at("model.safetensors"), one_tensor("whole", 1));
  CHECK(open_checkpoint(scratch.path().string())->find("whole") != nullptr);
  spill(at("config.json"), "[1]");
  CHECK(lacks(say(), "one JSON object") == "");
  spill(at("config.json"), "{\"a\": 1,\n \"b\" 2}");
  CHECK(lacks(say(), "line 2, column") == "");
}
