// Prints the logits at some positions (one after the other) and the token losses of a window as JSON, for
// scripts/reference/logits.py and tiny_models.py.
//   model_dump MODEL IDS.json POSITION...
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <vector>

#include "base/files.h"
#include "base/json.h"
#include "models/decoder/decoder_network.h"

using namespace stamp;

namespace {

at::Tensor tensor_of(const std::vector<std::int64_t>& values) {
  at::Tensor out = at::empty({static_cast<std::int64_t>(values.size())}, at::TensorOptions(at::kLong));
  std::copy(values.begin(), values.end(), out.data_ptr<std::int64_t>());
  return out;
}

Json numbers(const at::Tensor& tensor) {
  const float* values = tensor.const_data_ptr<float>();
  return std::vector<float>(values, values + tensor.numel());
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 4) {
    std::fprintf(stderr, "usage: model_dump MODEL IDS.json POSITION...\n");
    return 2;
  }
  DecoderNetwork network(std::make_shared<DecoderSource>(std::shared_ptr<const Checkpoint>(open_checkpoint(argv[1]))));
  network.pack();
  WorkItem item;
  item.inputs["ids"] = tensor_of(Json::parse(read_file(argv[2])).get<std::vector<std::int64_t>>());
  std::vector<std::int64_t> positions;
  for (int i = 3; i < argc; ++i) positions.push_back(std::atoll(argv[i]));
  item.inputs["want_logits"] = tensor_of(positions);
  const Outputs outputs = network.run(item);
  const Json out = {{"logits", numbers(outputs.named.at("logits"))},
                    {"losses", numbers(outputs.named.at("token_nll"))}};
  std::printf("%s\n", out.dump().c_str());
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "model_dump: %s\n", error.what());
  return 1;
}
