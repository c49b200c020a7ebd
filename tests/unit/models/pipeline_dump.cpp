// Makes one image with a pipeline and writes its values, 3 x height x width floats from 0 to 1:
// pipeline_dump FOLDER REQUEST.json OUT. For scripts/reference/pipelines.py.
#include <ATen/core/Tensor.h>
#include <c10/core/InferenceMode.h>

#include <fstream>
#include <iostream>

#include "base/files.h"
#include "formats/json_text.h"
#include "models/diffusion/diffusion_network.h"
#include "models/pipeline/pipeline.h"

using namespace stamp;

namespace {

SamplingRequest wanted_of(const Json& request) {
  SamplingRequest out;
  if (request.contains("steps")) out.steps = request.at("steps").get<std::int64_t>();
  if (request.contains("guidance")) out.guidance = request.at("guidance").get<double>();
  if (request.contains("height")) out.height = request.at("height").get<std::int64_t>();
  if (request.contains("width")) out.width = request.at("width").get<std::int64_t>();
  out.negative_prompt = request.value("negative", "");
  return out;
}

void run(const std::string& folder, const Json& request, const std::string& out) {
  const c10::InferenceMode no_gradients;
  const std::unique_ptr<Pipeline> pipeline = open_pipeline(folder);
  ImagePrompt prompt;
  if (request.contains("prompts"))
    prompt.text = request.at("prompts").at(0).get<std::string>();
  else
    prompt.class_id = pipeline->class_named(request.at("classes").at(0).get<std::string>());
  const Sampling sampling = pipeline->resolve(wanted_of(request));
  const auto conditions =
      pipeline->conditions({prompt}, sampling, [](const std::string& warning) { std::cerr << warning << "\n"; });
  const std::unique_ptr<DiffusionNetwork> network = make_diffusion_network(pipeline->source());
  network->pack();
  const auto seed = request.at("seed").get<std::uint64_t>();
  const at::Tensor latent = pipeline->sample(
      sampling, conditions.front(), pipeline->noise(sampling, seed),
      [&](std::size_t, const WorkItem& item) { return network->run(item).named.at("noise"); }, {}, seed);
  const Image image = pipeline->finish(sampling, pipeline->decode(latent));
  std::ofstream(out, std::ios::binary)
      .write(reinterpret_cast<const char*>(image.values.data()),
             static_cast<std::streamsize>(image.values.size() * sizeof(float)));
  std::cout << Json{{"height", image.height}, {"width", image.width}} << "\n";
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "pipeline_dump FOLDER REQUEST.json OUT\n";
    return 2;
  }
  try {
    run(argv[1], parse_json(read_file(argv[2]), argv[2]), argv[3]);
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
  return 0;
}
