// The real models against transformers 5 in float32 (../shared/fixtures/real_models_golden.json).
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/files.h"
#include "models/decoder/decoder_network.h"
#include "models/info/architecture.h"
#include "models/network.h"
#include "unit/models/fixtures.h"

using namespace stamp;

namespace {

struct Golden {
  std::vector<std::int64_t> ids;
  std::vector<double> losses, logits;
  double mean_512 = 0, mean_2048 = 0;
};

std::optional<Golden> golden(const char* model) {
  const auto path = test::fixture_path("real_models_golden.json");
  if (!std::filesystem::exists(path)) {
    WARN("skipped: " + path.string() + " is not there");
    return {};
  }
  const Json json = Json::parse(read_file(path)).at(model);
  return Golden{json.at("ids_window0"), json.at("nll2048"), json.at("logits100_first64"), json.at("mean512"),
                json.at("mean2048")};
}

std::shared_ptr<const Checkpoint> installed(const std::string& path, const char* name) {
  if (!path.empty()) return open_checkpoint(path);
  WARN(std::string("skipped: ") + name + " is not installed (scripts/setup.sh does it)");
  return nullptr;
}

struct Answers {
  std::vector<double> losses, logits;  // of the window, of position 100
};

Answers run(const std::shared_ptr<const Checkpoint>& checkpoint, const std::vector<std::int64_t>& ids,
            std::int64_t tokens) {
  DecoderNetwork network(std::make_shared<DecoderSource>(checkpoint));
  network.pack();
  WorkItem item;
  item.inputs["ids"] = at::empty({tokens}, at::TensorOptions(at::kLong));
  std::copy_n(ids.begin(), tokens, item.inputs["ids"].data_ptr<std::int64_t>());
  item.inputs["want_logits"] = at::empty({1}, at::TensorOptions(at::kLong));
  item.inputs["want_logits"].data_ptr<std::int64_t>()[0] = 100;
  const Outputs outputs = network.run(item);
  const auto numbers = [&](const char* name) {
    const at::Tensor& tensor = outputs.named.at(name);
    const float* values = tensor.const_data_ptr<float>();
    return std::vector<double>(values, values + tensor.numel());
  };
  return {numbers("token_nll"), numbers("logits")};
}

double worst(const std::vector<double>& ours, const std::vector<double>& reference) {
  double top = 0;
  for (std::size_t i = 0; i < std::min(ours.size(), reference.size()); ++i) {
    const double d = std::abs(ours[i] - reference[i]);
    if (!(d <= top)) top = d;
  }
  return top;
}

double mean(const std::vector<double>& losses, std::size_t count) {
  double sum = 0;
  for (std::size_t i = 0; i < count; ++i) sum += losses[i];
  return sum / static_cast<double>(count);
}

}  // namespace

TEST_CASE("SmolLM2's logits and token losses are transformers'") {
  const auto reference = golden("smol");
  const auto checkpoint = installed(test::smollm2_path(), "SmolLM2");
  if (!reference || !checkpoint) return;
  const Answers answers = run(checkpoint, reference->ids, 2048);
  CHECK(worst(answers.logits, reference->logits) <= 2e-3);
  CHECK(worst(answers.losses, reference->losses) <= 1e-3);
  CHECK(mean(answers.losses, 511) == Approx(reference->mean_512).epsilon(0).margin(1e-5));
  CHECK(mean(answers.losses, 2047) == Approx(reference->mean_2048).epsilon(0).margin(1e-5));
}

TEST_CASE("Gemma 3 270M's logits and token losses are transformers'") {
  const auto reference = golden("gemma");
  const auto checkpoint = installed(test::gemma_path(), "Gemma 3 270M");
  if (!reference || !checkpoint) return;
  // 640 tokens: a token loses the same in any longer window, and the last 128 are where keys fall out of the sliding
  // layers' window of 512, which a mean would not show (specification gemma3.md 2).
  const Answers answers = run(checkpoint, reference->ids, 640);
  INFO("logits " << worst(answers.logits, reference->logits) << ", losses "
                 << worst(answers.losses, reference->losses));
  CHECK(worst(answers.logits, reference->logits) <= 1e-3);
  CHECK(worst(answers.losses, reference->losses) <= 1e-3);
  CHECK(mean(answers.losses, 511) == Approx(reference->mean_512).epsilon(0).margin(1e-5));
  // Specification gemma3.md, golden numbers.
  REQUIRE(answers.logits.size() == 262144);
  CHECK(std::max_element(answers.logits.begin(), answers.logits.end()) - answers.logits.begin() == 668);
  const std::pair<std::size_t, double> printed[] = {
      {668, 22.7252}, {1031, 21.2925}, {236764, 21.1567}, {9877, 18.6822}, {506, 18.2899},
      {0, -16.7674},  {1, 13.4401},    {2, 2.3113},       {100, -17.3429}, {1000, 2.6015}};
  for (const auto& [id, logit] : printed) CHECK(answers.logits[id] == Approx(logit).epsilon(0).margin(1e-3));
}

TEST_CASE("Gemma 3 270M opens as a model: its tokenizer gives the ids of transformers, BOS once, at the start") {
  const std::string path = test::gemma_path();
  const auto reference = golden("gemma");
  if (path.empty() || !reference) {
    WARN("skipped: Gemma 3 270M is not installed (scripts/setup.sh does it), or the golden values are not there");
    return;
  }
  const auto model = open_model({path, "Gemma"});
  CHECK(model->description().at("architecture") == "gemma3");
  DataSpec data;
  data.text = "wikitext2-test";
  data.context = 512;
  data.windows = 2;
  std::unique_ptr<Workload> workload;
  try {
    workload = model->workload(data);
  } catch (const DataError& error) {
    WARN(std::string("skipped: ") + error.what());
    return;
  }
  CHECK(workload->description().at("tokens") == 292283);
  for (std::int64_t window = 0; window < 2; ++window) {
    const WorkItem item = workload->item(window);
    const std::int64_t* ids = item.inputs.at("ids").const_data_ptr<std::int64_t>();
    CHECK(std::equal(ids, ids + 512, reference->ids.begin() + window * 512));
  }
}

TEST_CASE("Gemma 3 270M is described") {
  const auto checkpoint = installed(test::gemma_path(), "Gemma 3 270M");
  if (!checkpoint) return;
  const Json json = describe_model(*checkpoint);
  CHECK(json.at("parameters") == 268098176);
  CHECK(json.at("tensors") == 236);
  CHECK(json.at("tensor_types") == Json({{"F32", 109}, {"Q4_K", 27}, {"Q5_0", 81}, {"Q6_K", 9}, {"Q8_0", 10}}));
  CHECK(json.at("sliding_layers") == 15);
  CHECK(json.at("sliding_window") == 512);
  CHECK(json.at("sliding_rope").at("theta") == 10000);
  CHECK(json.at("rope").at("theta") == 1000000);
  CHECK(json.at("attention_scale") == 0.0625);
  CHECK(json.at("tied_head") == true);
  CHECK(json.at("ignored_tensors").empty());
}
