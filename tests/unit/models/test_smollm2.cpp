// SmolLM2-135M against transformers 5 in float32 (../shared/fixtures/real_models_golden.json).
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <chrono>
#include <cmath>

#include "base/files.h"
#include "models/decoder/decoder_network.h"
#include "unit/models/fixtures.h"

using namespace stamp;

namespace {

struct Golden {
  std::vector<std::int64_t> ids;
  std::vector<double> losses, logits;
  double mean_512 = 0, mean_2048 = 0;
};

std::optional<Golden> golden() {
  const auto path = test::fixture_path("real_models_golden.json");
  if (!std::filesystem::exists(path)) {
    WARN("skipped: " + path.string() + " is not there");
    return {};
  }
  const Json smol = Json::parse(read_file(path)).at("smol");
  return Golden{smol.at("ids_window0"), smol.at("nll2048"), smol.at("logits100_first64"), smol.at("mean512"),
                smol.at("mean2048")};
}

std::shared_ptr<const Checkpoint> smollm2() {
  const std::string path = test::smollm2_path();
  if (path.empty()) {
    WARN("skipped: SmolLM2 is not installed (scripts/setup.sh does it)");
    return nullptr;
  }
  return open_checkpoint(path);
}

}  // namespace

TEST_CASE("SmolLM2's logits and token losses are transformers'") {
  const auto reference = golden();
  const auto checkpoint = smollm2();
  if (!reference || !checkpoint) return;
  DecoderNetwork network(std::make_shared<DecoderSource>(checkpoint));
  network.pack();
  WorkItem item;
  item.inputs["ids"] = at::empty({2048}, at::TensorOptions(at::kLong));
  std::copy_n(reference->ids.begin(), 2048, item.inputs["ids"].data_ptr<std::int64_t>());
  item.inputs["want_logits"] = at::empty({1}, at::TensorOptions(at::kLong));
  item.inputs["want_logits"].data_ptr<std::int64_t>()[0] = 100;
  const Outputs outputs = network.run(item);

  const float* logits = outputs.named.at("logits").const_data_ptr<float>();
  double worst_logit = 0;
  for (std::size_t i = 0; i < reference->logits.size(); ++i)
    worst_logit = std::max(worst_logit, std::abs(static_cast<double>(logits[i]) - reference->logits[i]));
  CHECK(worst_logit <= 2e-3);

  const float* losses = outputs.named.at("token_nll").const_data_ptr<float>();
  double worst_loss = 0, mean_512 = 0, mean_2048 = 0;
  for (std::size_t i = 0; i < reference->losses.size(); ++i) {
    worst_loss = std::max(worst_loss, std::abs(static_cast<double>(losses[i]) - reference->losses[i]));
    if (i < 511) mean_512 += static_cast<double>(losses[i]) / 511;
    mean_2048 += static_cast<double>(losses[i]) / 2047;
  }
  CHECK(worst_loss <= 1e-3);
  CHECK(mean_512 == Approx(reference->mean_512).epsilon(0).margin(1e-5));
  CHECK(mean_2048 == Approx(reference->mean_2048).epsilon(0).margin(1e-5));
  UNSCOPED_INFO("logits " << worst_logit << ", losses " << worst_loss);
  CHECK(std::isfinite(worst_loss));
}
