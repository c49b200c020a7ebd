// One denoising step of a diffusion transformer from random conditions: time and the most memory that the process held.
//
//   bench_denoise FOLDER [--side PIXELS] [--samples N] [--tokens N] [--streamed] [--repeats N]
//
// FOLDER: a transformer folder, such as scripts/make_checkpoint.py writes. One pass a process: the peak is the
// process's own. Streamed: a block's weights come from the file when its turn comes and go again.
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <fstream>
#include <string>

#include "base/memory.h"
#include "models/diffusion/diffusion_network.h"

using namespace stamp;

namespace {

double peak_gb() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind("VmHWM:", 0) == 0) return std::stod(line.substr(6)) * 1024 / 1e9;
  return 0;
}

WorkItem random_item(const DiffusionConfig& config, std::int64_t side, std::int64_t samples, std::int64_t tokens) {
  const at::TensorOptions real(at::kFloat);
  WorkItem item;
  item.inputs["latent"] = at::randn({samples, config.in_channels, side, side}, real);
  item.inputs["timestep"] = at::full({samples}, 500.0, real);
  if (!config.has_text()) item.inputs["class"] = at::full({samples}, 1, at::TensorOptions(at::kLong));
  if (config.has_text()) item.inputs["text"] = at::randn({samples, tokens, config.caption_channels}, real);
  if (config.guidance) item.inputs["guidance"] = at::full({samples}, 0.45, real);
  if (config.micro_conditions) {
    item.inputs["resolution"] = at::full({samples, 2}, 1024.0, real);
    item.inputs["aspect_ratio"] = at::full({samples}, 1.0, real);
  }
  return item;
}

at::Tensor pass(DiffusionNetwork& network, const WorkItem& item, bool streamed) {
  at::Tensor rows = network.enter(item);
  for (std::size_t block = 0; block < network.blocks(); ++block) {
    if (streamed) network.load(block);
    network.forward(block, rows, item);
    if (!streamed) continue;
    network.release(block);
    give_back_free_memory();
  }
  return network.leave(std::move(rows), item).named.at("noise");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"One denoising step from random conditions"};
  std::string folder;
  std::int64_t pixels = 1024, samples = 2, tokens = 300, repeats = 1;
  bool streamed = false;
  app.add_option("FOLDER", folder)->required();
  app.add_option("--side", pixels, "of the image; latents have an eighth of it, SANA's a thirty-second");
  app.add_option("--samples", samples);
  app.add_option("--tokens", tokens, "of the text");
  app.add_option("--repeats", repeats);
  app.add_flag("--streamed", streamed);
  CLI11_PARSE(app, argc, argv);

  const c10::InferenceMode no_gradients;
  const auto source = std::make_shared<DiffusionSource>(std::shared_ptr<const Checkpoint>(open_checkpoint(folder)));
  const std::int64_t side = pixels / (source->config().kind == DiffusionKind::sana ? 32 : 8);
  const auto network = make_diffusion_network(source, false);
  for (std::size_t block = 0; !streamed && block < network->blocks(); ++block) {
    network->load(block);
    network->pack(block);
    give_back_free_memory();
  }
  network->pack_ends();
  const WorkItem item = random_item(source->config(), side, samples, tokens);
  for (std::int64_t i = 0; i < repeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const at::Tensor out = pass(*network, item, streamed);
    fmt::print("{} {} samples of {} x {} pixels, {}: {:.2f} s, peak {:.2f} GB, {} threads, first value {:.6g}\n",
               source->config().architecture, samples, pixels, pixels, streamed ? "streamed" : "in memory",
               std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), peak_gb(),
               at::get_num_threads(), out.const_data_ptr<float>()[0]);
  }
  return 0;
}
