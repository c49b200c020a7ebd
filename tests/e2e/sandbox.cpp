#include "sandbox.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "support/catch.h"

namespace stamp::test {

const char* const experiment_text = R"(schema: 1
name: tiny
model: {path: model, name: tiny-llama}
data: {text: text.txt, context: 64, windows: 2}
calibration: {text: text.txt, context: 64, samples: 2, select: head}
quantization:
  allocation: {kind: two_level, high_bits: 8, high_tokens: 8, pick: first}
evaluate: [perplexity, slot_error]
sweep:
  axes:
    quantization.method: [rtn, smoothquant]
    quantization.sequence.transform: [identity, haar, dct]
table: {rows: quantization.method, columns: quantization.sequence.transform, value: perplexity}
)";

namespace {

void add(Json& header, std::string& bytes, const std::string& name, const std::vector<std::int64_t>& shape) {
  std::int64_t n = 1;
  for (std::int64_t s : shape) n *= s;
  const std::size_t from = bytes.size();
  bytes.append(static_cast<std::size_t>(n) * 4, '\0');
  header[name] = {{"dtype", "F32"}, {"shape", shape}, {"data_offsets", {from, bytes.size()}}};
}

std::string bin(const std::string& name) {
  const char* folder = std::getenv("STAMP_BIN_DIR");
  REQUIRE(folder != nullptr);  // ctest sets it
  return std::string(folder) + "/" + name;
}

}  // namespace

void write_tiny_model(const std::filesystem::path& folder) {
  const std::int64_t v = 32, h = 8, f = 16;
  Json header = Json::object();
  std::string bytes;
  add(header, bytes, "model.embed_tokens.weight", {v, h});
  add(header, bytes, "model.norm.weight", {h});
  const std::string layer = "model.layers.0.";
  for (const char* norm : {"input_layernorm", "post_attention_layernorm"})
    add(header, bytes, layer + norm + ".weight", {h});
  for (const char* p : {"q_proj", "k_proj", "v_proj", "o_proj"})
    add(header, bytes, layer + "self_attn." + p + ".weight", {h, h});
  for (const char* p : {"gate_proj", "up_proj"}) add(header, bytes, layer + "mlp." + p + ".weight", {f, h});
  add(header, bytes, layer + "mlp.down_proj.weight", {h, f});
  const std::string text = header.dump();
  std::string size(8, '\0');
  const std::uint64_t n = text.size();
  std::memcpy(size.data(), &n, 8);
  spill(folder / "model.safetensors", size + text + bytes);
  spill(
      folder / "config.json",
      R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 32, "hidden_size": 8, "intermediate_size": 16,
            "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
            "max_position_embeddings": 128, "hidden_act": "silu", "tie_word_embeddings": true})");
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++n;
  return n;
}

Sandbox::Sandbox() {
  write_tiny_model(path() / "model");
  std::string text;  // of more bytes than all windows have tokens: a plan looks at it
  for (int i = 0; i < 100; ++i) text += "some words that a fake worker never reads\n";
  write("text.txt", text);
  write("experiment.yaml", experiment_text);
}

Ended Sandbox::stamp_limited(const std::vector<std::string>& arguments, std::uint64_t bytes) const {
  return wait(start(arguments, {}, bytes));
}

pid_t Sandbox::start(const std::vector<std::string>& arguments, const std::map<std::string, std::string>& environment,
                     std::uint64_t file_limit) const {
  const std::string program = bin("stamp"), worker = bin("fake-worker"), folder = path().string();
  const pid_t pid = fork();
  REQUIRE(pid >= 0);
  if (pid > 0) return pid;
  if (chdir(folder.c_str()) != 0) _exit(126);
  setenv("STAMP_WORKER", worker.c_str(), 1);
  setenv("STAMP_CACHE", (folder + "/cache").c_str(), 1);
  for (const auto& [name, value] : environment) setenv(name.c_str(), value.c_str(), 1);
  const std::string own = std::to_string(getpid());  // two programs of one folder may run at once
  const int out = open(("stdout." + own).c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644),
            err = open(("stderr." + own).c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  dup2(out, 1);
  dup2(err, 2);
  if (file_limit > 0) {
    std::signal(SIGXFSZ, SIG_IGN);  // inherited: the write fails instead
    const rlimit limit{file_limit, file_limit};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  std::vector<char*> argv{const_cast<char*>(program.c_str())};
  for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  execv(program.c_str(), argv.data());
  _exit(127);
}

Ended Sandbox::wait(pid_t pid) const {
  int status = 0;
  REQUIRE(waitpid(pid, &status, 0) == pid);
  Ended e;
  if (WIFEXITED(status)) e.code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) e.signal = WTERMSIG(status);
  e.out = slurp(path() / ("stdout." + std::to_string(pid)));
  e.err = slurp(path() / ("stderr." + std::to_string(pid)));
  return e;
}

Ended Sandbox::stamp(const std::vector<std::string>& arguments,
                     const std::map<std::string, std::string>& environment) const {
  return wait(start(arguments, environment));
}

std::vector<std::string> Sandbox::ids() const {
  std::vector<std::string> out;
  for (const FrozenTrial& t : read_plan(RunStore(run_folder()).plan_path()).trials) out.push_back(t.id);
  return out;
}

}  // namespace stamp::test
