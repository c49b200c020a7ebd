// Decodes and encodes with an autoencoder, for scripts/reference/autoencoders.py.
//   autoencoder_dump MODEL INPUTS.safetensors OUT [BAND_FLOATS]
// INPUTS holds "z" (codes) and "x" (images), either may be absent; results go to OUT.decode and OUT.encode as raw
// float32. Prints what the autoencoder says of itself, and the largest memory of the process, as JSON.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>

#include "base/json.h"
#include "models/vae/autoencoder.h"

using namespace stamp;

namespace {

at::Tensor tensor_of(const TensorInfo& info) {
  at::Tensor out = at::empty(info.shape, at::TensorOptions(at::kFloat));
  read_rows(info, 0, info.rows(), out.data_ptr<float>());
  return out;
}
void write(const std::string& path, const at::Tensor& tensor) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(tensor.const_data_ptr<float>()), tensor.numel() * 4);
  if (!file) throw std::runtime_error(path + " could not be written");
}
double peak_gb() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * 1024 / 1e9;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 4) {
    std::fprintf(stderr, "usage: autoencoder_dump MODEL INPUTS.safetensors OUT [BAND_FLOATS]\n");
    return 2;
  }
  const auto autoencoder = open_autoencoder(argv[1]);
  if (argc > 4) autoencoder->set_band_floats(std::atoll(argv[4]));
  const auto inputs = open_checkpoint(argv[2]);
  Json out = {{"latent_channels", autoencoder->latent_channels()},
              {"scale", autoencoder->scale()},
              {"scaling_factor", autoencoder->scaling_factor()},
              {"shift", autoencoder->shift()},
              {"parameters", autoencoder->parameters()}};
  const auto timed = [&](const char* what, const auto& work) {
    const auto start = std::chrono::steady_clock::now();
    write(std::string(argv[3]) + "." + what, work());
    out[std::string(what) + "_seconds"] =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    out[std::string(what) + "_peak_gb"] = peak_gb();
  };
  if (const TensorInfo* z = inputs->find("z")) timed("decode", [&] { return autoencoder->decode(tensor_of(*z)); });
  if (const TensorInfo* x = inputs->find("x")) timed("encode", [&] { return autoencoder->encode(tensor_of(*x)); });
  std::printf("%s\n", out.dump().c_str());
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "autoencoder_dump: %s\n", error.what());
  return 1;
}
