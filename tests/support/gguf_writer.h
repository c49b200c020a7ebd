// Writes small GGUF and safetensors files for tests, right ones and, with raw values, wrong ones.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace stamp::test {

template <typename T>
void put(std::string& out, T value) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  out.append(bytes, sizeof(T));
}
inline void put_text(std::string& out, const std::string& text) {
  put<std::uint64_t>(out, text.size());
  out += text;
}

struct GgufTensor {
  std::string name;
  std::vector<std::uint64_t> dimensions;  // fastest first, as in the file
  std::uint32_t type = 0;
  std::uint64_t offset = 0;
};

class GgufWriter {
 public:
  std::uint32_t version = 3;
  std::vector<GgufTensor> tensors;
  std::string data;
  std::uint64_t alignment = 32;

  void text(const std::string& key, const std::string& value) { begin(key, 8), put_text(pairs_, value); }
  void u32(const std::string& key, std::uint32_t value) { begin(key, 4), put(pairs_, value); }
  void u16(const std::string& key, std::uint16_t value) { begin(key, 2), put(pairs_, value); }
  void i32(const std::string& key, std::int32_t value) { begin(key, 5), put(pairs_, value); }
  void f32(const std::string& key, float value) { begin(key, 6), put(pairs_, value); }
  void boolean(const std::string& key, std::uint8_t value) { begin(key, 7), put(pairs_, value); }
  void texts(const std::string& key, const std::vector<std::string>& values) {
    begin(key, 9), put<std::uint32_t>(pairs_, 8), put<std::uint64_t>(pairs_, values.size());
    for (const std::string& value : values) put_text(pairs_, value);
  }
  void i32s(const std::string& key, const std::vector<std::int32_t>& values) {
    begin(key, 9), put<std::uint32_t>(pairs_, 5), put<std::uint64_t>(pairs_, values.size());
    for (const std::int32_t value : values) put(pairs_, value);
  }
  // Any value: type and its bytes.
  void raw(const std::string& key, std::uint32_t type, const std::string& bytes) { begin(key, type), pairs_ += bytes; }
  // A float32 tensor at the next aligned place.
  void add(const std::string& name, std::vector<std::uint64_t> dimensions, const std::vector<float>& values) {
    add_bytes(name, std::move(dimensions), 0, {reinterpret_cast<const char*>(values.data()), values.size() * 4});
  }
  void add_bytes(const std::string& name, std::vector<std::uint64_t> dimensions, std::uint32_t type,
                 const std::string& bytes) {
    data.resize((data.size() + alignment - 1) / alignment * alignment, '\0');
    tensors.push_back({name, std::move(dimensions), type, data.size()});
    data += bytes;
  }
  std::string bytes() const {
    std::string out = "GGUF";
    put<std::uint32_t>(out, version);
    put<std::uint64_t>(out, tensors.size());
    put<std::uint64_t>(out, count_);
    out += pairs_;
    for (const GgufTensor& tensor : tensors) {
      put_text(out, tensor.name);
      put<std::uint32_t>(out, static_cast<std::uint32_t>(tensor.dimensions.size()));
      for (const std::uint64_t n : tensor.dimensions) put(out, n);
      put(out, tensor.type);
      put(out, tensor.offset);
    }
    if (!tensors.empty()) out.resize((out.size() + alignment - 1) / alignment * alignment, '\0');
    return out + data;
  }

 private:
  void begin(const std::string& key, std::uint32_t type) {
    ++count_;
    put_text(pairs_, key);
    put(pairs_, type);
  }
  std::string pairs_;
  std::uint64_t count_ = 0;
};

// A file with every kind of thing in it: metadata of many types, a tokenizer, tensors of several types.
inline std::string sample_gguf() {
  GgufWriter w;
  w.text("general.architecture", "llama");
  w.text("general.name", "sample \xff name");  // not UTF-8 on purpose
  w.u32("llama.block_count", 2);
  w.f32("llama.attention.layer_norm_rms_epsilon", 1e-5F);
  w.boolean("tokenizer.ggml.add_bos_token", 1);
  w.i32s("llama.attention.head_count_kv", {4, 2});
  w.text("tokenizer.ggml.model", "gpt2");
  w.text("tokenizer.ggml.pre", "smollm");
  w.texts("tokenizer.ggml.tokens", {"a", "b", "ab", "<s>"});
  w.i32s("tokenizer.ggml.token_type", {1, 1, 1, 3});
  w.texts("tokenizer.ggml.merges", {"a b"});
  w.u32("tokenizer.ggml.bos_token_id", 3);
  std::string nested;  // [[1, 2], [3]]
  put<std::uint32_t>(nested, 9), put<std::uint64_t>(nested, 2);
  put<std::uint32_t>(nested, 0), put<std::uint64_t>(nested, 2), nested += "\x01\x02";
  put<std::uint32_t>(nested, 0), put<std::uint64_t>(nested, 1), nested += "\x03";
  w.raw("some.nested", 9, nested);
  std::vector<float> values(24);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  w.add("token_embd.weight", {4, 6}, values);
  w.add("output_norm.weight", {3}, {1, 2, 3});
  std::string block;  // one row of two Q8_0 blocks: scale 0.5, values 0, 1, 2, ...
  for (int b = 0; b < 2; ++b) {
    put<std::uint16_t>(block, 0x3800);
    for (int j = 0; j < 32; ++j) block += static_cast<char>(j);
  }
  w.add_bytes("blk.0.attn_q.weight", {64, 1}, 8, block);
  return w.bytes();
}

inline std::string safetensors(const std::string& header, const std::string& data) {
  std::string out;
  put_text(out, header);
  return out + data;
}
inline std::string sample_safetensors() {
  std::string data;
  for (int i = 0; i < 6; ++i) put<float>(data, static_cast<float>(i));
  data += std::string("\x00\x3c\x00\xc0", 4);
  put<std::int64_t>(data, 7);
  return safetensors(
      R"({"__metadata__":{"format":"pt","config":"{\"model_type\": \"llama\", \"low\": -Infinity}"},)"
      R"("w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"h":{"dtype":"F16","shape":[2],"data_offsets":[24,28]},)"
      R"("empty":{"dtype":"F32","shape":[0,5],"data_offsets":[28,28]},"ids":{"dtype":"I64","shape":[],"data_offsets":[28,36]}}  )",
      data);
}

}  // namespace stamp::test
