// Quantizes one layer by GPTQ for scripts/reference/gptq.py.
//   gptq_dump SETTINGS.json IN OUT
// IN: W (m x d float32), then H (d x d float64), row-major, nothing else. OUT: the quantized weights, m x d float32.
// Prints the loss and the damping as JSON.
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <vector>

#include "base/files.h"
#include "base/json.h"
#include "weights/gptq_core.h"

using namespace stamp;

int main(int argc, char** argv) try {
  if (argc != 4) {
    std::fprintf(stderr, "usage: gptq_dump SETTINGS.json IN OUT\n");
    return 2;
  }
  const Json j = Json::parse(read_file(argv[1]));
  const auto m = j.at("rows").get<std::int64_t>(), d = j.at("inputs").get<std::int64_t>();
  GptqSettings s;
  s.grid.bits = j.at("bits");
  s.grid.symmetric = j.at("symmetric");
  s.grid.clip_search = j.at("clip_search");
  s.grid.group = j.at("group");
  s.act_order = j.at("act_order");
  s.static_groups = j.at("static_groups");
  s.percdamp = j.at("percdamp");

  const std::string in = read_file(argv[2]);
  const std::size_t weight_bytes = static_cast<std::size_t>(m * d) * sizeof(float);
  std::vector<double> hessian(static_cast<std::size_t>(d * d));
  if (in.size() != weight_bytes + hessian.size() * sizeof(double)) {
    std::fprintf(stderr, "gptq_dump: %s has another size than the settings say\n", argv[2]);
    return 1;
  }
  std::vector<float> weight(static_cast<std::size_t>(m * d));
  std::memcpy(weight.data(), in.data(), weight_bytes);
  std::memcpy(hessian.data(), in.data() + weight_bytes, hessian.size() * sizeof(double));
  const GptqFactor factor = gptq_factor(std::move(hessian), s);
  const double loss = gptq_quantize(std::vector<MatrixView>{{weight.data(), m, d, d}}, factor, s);
  std::ofstream out(argv[3], std::ios::binary);
  out.write(reinterpret_cast<const char*>(weight.data()), static_cast<std::streamsize>(weight_bytes));
  if (!out.flush()) {
    std::fprintf(stderr, "gptq_dump: cannot write %s\n", argv[3]);
    return 1;
  }
  const Json answer = {{"loss", loss}, {"damping", factor.damping}, {"retries", factor.retries}};
  std::printf("%s\n", answer.dump().c_str());
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "gptq_dump: %s\n", error.what());
  return 1;
}
