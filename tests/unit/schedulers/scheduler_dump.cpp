// Prints timesteps, noise levels and the samples of a denoising run as JSON, for scripts/reference/schedulers.py.
//   scheduler_dump REQUEST.json
// REQUEST: {"config": scheduler_config.json as text, "steps": N, "sample": [...], "outputs": [[...] of step 0, ...],
// "noise": [[...], ...]}. Without outputs the model is 0.5 x + 0.01 i.
#include <cstdio>
#include <exception>
#include <vector>

#include "base/files.h"
#include "formats/json_text.h"
#include "schedulers/scheduler.h"

using namespace stamp;

int main(int argc, char** argv) try {
  if (argc != 2) {
    std::fprintf(stderr, "usage: scheduler_dump REQUEST.json\n");
    return 2;
  }
  const Json request = parse_json(read_file(argv[1]), argv[1]);
  const Json config = parse_json(request.at("config").get<std::string>(), "scheduler_config.json");
  const auto scheduler = make_scheduler(config, request.at("steps").get<std::int64_t>());
  std::vector<float> sample = request.at("sample").get<std::vector<float>>();
  Json trajectory = Json::array();
  for (std::int64_t i = 0; i < scheduler->steps(); ++i) {
    const auto at = static_cast<std::size_t>(i);
    std::vector<float> output, noise;
    if (request.contains("outputs"))
      output = request["outputs"][at].get<std::vector<float>>();
    else
      for (const float x : sample) output.push_back(0.5F * x + 0.01F * static_cast<float>(i));
    if (scheduler->needs_noise(i)) noise = request.at("noise")[at].get<std::vector<float>>();
    scheduler->step(i, output, sample, noise);
    trajectory.push_back(sample);
  }
  const Json out = {{"timesteps", scheduler->timesteps()},
                    {"sigmas", scheduler->sigmas()},
                    {"init_noise_sigma", scheduler->init_noise_sigma()},
                    {"trajectory", trajectory}};
  std::printf("%s\n", out.dump().c_str());
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "scheduler_dump: %s\n", error.what());
  return 1;
}
