// Forward passes against the references of tiny checkpoints (specification models 17).
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <cmath>
#include <functional>

#include "models/decoder/decoder_network.h"
#include "models/tensors.h"
#include "unit/models/fixtures.h"

using namespace stamp;

namespace {

at::Tensor tensor_of(const std::vector<std::int64_t>& values, std::size_t first, std::size_t count) {
  at::Tensor out = at::empty({static_cast<std::int64_t>(count)}, at::TensorOptions(at::kLong));
  std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(first), count, out.data_ptr<std::int64_t>());
  return out;
}

double largest(const float* values, std::size_t count) {
  double top = 0;
  for (std::size_t i = 0; i < count; ++i) top = std::max(top, std::abs(static_cast<double>(values[i])));
  return top;
}

double difference(const at::Tensor& ours, const float* reference) {
  const float* values = ours.const_data_ptr<float>();
  double top = 0;
  for (std::int64_t i = 0; i < ours.numel(); ++i) {
    const double d = std::abs(static_cast<double>(values[i]) - static_cast<double>(reference[i]));
    if (!(d <= top)) top = d;  // NaN counts as the largest
  }
  return top;
}

constexpr const char* tiny_decoders[] = {"llama_tiny_llama3rope",
                                         "llama_tiny_untied_bias",
                                         "qwen2_tiny",
                                         "qwen2_tiny_window",
                                         "mistral_tiny_window5",
                                         "qwen3_tiny",
                                         "gemma2_tiny",
                                         "gemma3_tiny"};

struct Reference {
  std::string what;
  double difference, scale;
};

// Largest differences to the fixture's embedding, every layer, final norm and logits.
std::vector<Reference> compare(const std::shared_ptr<const Checkpoint>& checkpoint, bool packed) {
  DecoderNetwork network(std::make_shared<DecoderSource>(checkpoint));
  if (packed) network.pack();
  const std::vector<std::int64_t> ids = test::ids_of(*checkpoint, "in.ids");
  const std::vector<std::int64_t>& shape = checkpoint->at("in.ids").shape;
  const auto tokens = static_cast<std::size_t>(shape[1]);
  std::vector<Reference> out;
  for (std::size_t b = 0; b < static_cast<std::size_t>(shape[0]); ++b) {
    const auto check = [&](const std::string& name, const at::Tensor& ours) {
      const std::vector<float> all = test::floats_of(*checkpoint, name);
      const float* mine = all.data() + b * tokens * static_cast<std::size_t>(ours.size(1));
      out.push_back({name, difference(ours, mine), largest(mine, static_cast<std::size_t>(ours.numel()))});
    };
    at::Tensor x = network.embed(tensor_of(ids, b * tokens, tokens));
    check("out.embed", x);
    for (std::size_t i = 0; i < network.blocks(); ++i) {
      network.forward(i, x, {});
      check("out.layers." + std::to_string(i), x);
    }
    network.final_norm(x);
    check("out.norm", x);
    check("out.logits", network.head(x));
  }
  return out;
}

// The same tensors under another config.json.
class Respelled : public Checkpoint {
 public:
  Respelled(std::shared_ptr<const Checkpoint> of, Json config) : of_(std::move(of)), config_(std::move(config)) {}
  std::string format() const override { return of_->format(); }
  std::string architecture() const override { return of_->architecture(); }
  const Json& config() const override { return config_; }
  const std::vector<TensorInfo>& tensors() const override { return of_->tensors(); }
  std::string path() const override { return of_->path(); }
  std::vector<std::string> files() const override { return of_->files(); }

 private:
  std::shared_ptr<const Checkpoint> of_;
  Json config_;
};

}  // namespace

TEST_CASE("both spellings of config.json give the oracle's logits") {
  const auto checkpoint = test::open_fixture("llama_tiny_llama3rope");
  if (!checkpoint) return;
  Json newer = checkpoint->config();
  Json rope = newer.at("rope_scaling");
  rope["rope_theta"] = newer.at("rope_theta");
  newer.erase("rope_scaling");
  newer.erase("rope_theta");
  newer["rope_parameters"] = rope;
  newer["dtype"] = "float32";
  newer["layer_types"] = {"full_attention", "full_attention", "full_attention"};
  for (const Reference& r : compare(std::make_shared<Respelled>(checkpoint, newer), true))
    if (r.what == "out.logits") CHECK(r.difference <= 1e-4 * r.scale);

  // Were the scaling not read, the logits would be far off: the comparison above can fail.
  newer["rope_parameters"] = {{"rope_theta", 10000.0}, {"rope_type", "default"}};
  for (const Reference& r : compare(std::make_shared<Respelled>(checkpoint, newer), true))
    if (r.what == "out.logits") CHECK(r.difference > 1e-2 * r.scale);
}

TEST_CASE("tiny decoders agree with their references layer by layer") {
  for (const char* name : tiny_decoders) {
    const auto checkpoint = test::open_fixture(name);
    if (!checkpoint) return;
    for (const bool packed : {false, true})
      for (const Reference& r : compare(checkpoint, packed)) {
        INFO(name << (packed ? " packed " : " plain ") << r.what << " " << r.difference << " of " << r.scale);
        // Specification models 17.4: 1e-5 of the largest value after every block, 1e-4 for logits.
        CHECK(r.difference <= (r.what == "out.logits" ? 1e-4 : 1e-5) * r.scale);
      }
  }
}

TEST_CASE("losses of a window are the reference's cross entropy") {
  for (const char* name : tiny_decoders) {
    const auto checkpoint = test::open_fixture(name);
    if (!checkpoint) return;
    DecoderNetwork network(std::make_shared<DecoderSource>(checkpoint));
    network.pack();
    const std::vector<std::int64_t> ids = test::ids_of(*checkpoint, "in.ids");
    const std::size_t tokens = static_cast<std::size_t>(checkpoint->at("in.ids").shape[1]);
    double sum = 0;
    std::int64_t count = 0;
    for (std::size_t b = 0; b * tokens < ids.size(); ++b) {
      WorkItem item;
      item.inputs["ids"] = tensor_of(ids, b * tokens, tokens);
      const at::Tensor losses = network.run(item).named.at("token_nll");
      REQUIRE(losses.size(0) == static_cast<std::int64_t>(tokens) - 1);
      for (std::int64_t i = 0; i < losses.size(0); ++i) sum += static_cast<double>(losses.const_data_ptr<float>()[i]);
      count += losses.size(0);
    }
    INFO(name);
    CHECK(sum / static_cast<double>(count) == Approx(test::floats_of(*checkpoint, "out.mean_ce")[0]).margin(1e-5));
  }
}

TEST_CASE("each feature of a family moves the logits: the comparisons above can fail") {
  const auto moved = [](const char* name, const std::function<void(Json&)>& change) {
    const auto checkpoint = test::open_fixture(name);
    if (!checkpoint) return 1.0;
    Json config = checkpoint->config();
    change(config);
    double top = 0;
    for (const Reference& r : compare(std::make_shared<Respelled>(checkpoint, config), false))
      if (r.what == "out.logits") top = std::max(top, r.difference / r.scale);
    return top;
  };
  const auto set = [](const char* key, const Json& value) { return [=](Json& config) { config[key] = value; }; };
  CHECK(moved("mistral_tiny_window5", set("sliding_window", 6)) > 1e-3);
  CHECK(moved("qwen3_tiny", set("rms_norm_eps", 1.0)) > 1e-3);
  CHECK(moved("gemma2_tiny", set("attn_logit_softcapping", nullptr)) > 1e-3);
  CHECK(moved("gemma2_tiny", set("final_logit_softcapping", nullptr)) > 1e-3);
  CHECK(moved("gemma2_tiny", set("query_pre_attn_scalar", 12)) > 1e-3);
  CHECK(moved("gemma2_tiny", set("sliding_window", 5)) > 1e-3);
  CHECK(moved("gemma2_tiny", set("hidden_activation", "silu")) > 1e-3);
  CHECK(moved("gemma3_tiny", set("sliding_window", 4)) > 1e-3);
  CHECK(moved("gemma3_tiny", [](Json& c) { c["rope_parameters"]["sliding_attention"]["rope_theta"] = 50000; }) > 1e-3);
  CHECK(moved("gemma3_tiny", [](Json& c) { c["rope_parameters"]["full_attention"]["factor"] = 1; }) > 1e-3);
  CHECK(moved("gemma3_tiny", set("query_pre_attn_scalar", 8)) > 1e-3);
}

TEST_CASE("blocks that were released come back as they were") {
  for (const char* name : {"qwen3_tiny", "gemma3_tiny"}) {
    const auto checkpoint = test::open_fixture(name);
    if (!checkpoint) return;
    DecoderNetwork network(std::make_shared<DecoderSource>(checkpoint));
    WorkItem item;
    item.inputs["ids"] = tensor_of(test::ids_of(*checkpoint, "in.ids"), 0, 9);
    const at::Tensor before = network.run(item).named.at("token_nll");
    for (std::size_t i = 0; i < network.blocks(); ++i) {
      network.release(i);
      network.load(i);
    }
    const at::Tensor after = network.run(item).named.at("token_nll");
    INFO(name);
    CHECK(difference(after, before.const_data_ptr<float>()) == 0);
  }
}

TEST_CASE("rows that continue a segment are the rows of the whole sequence") {
  for (const char* name : tiny_decoders) {
    const auto checkpoint = test::open_fixture(name);
    if (!checkpoint) return;
    DecoderNetwork network(std::make_shared<DecoderSource>(checkpoint));
    const std::vector<std::int64_t> ids = test::ids_of(*checkpoint, "in.ids");
    const std::int64_t tokens = checkpoint->at("in.ids").shape[1], first = tokens / 3;
    const auto n = static_cast<std::size_t>(tokens);
    WorkItem whole;
    whole.inputs["ids"] = tensor_of(ids, 0, n);
    WorkItem parts = whole;
    Segment prefix, rest;
    prefix.rows = first;
    rest.rows = tokens - first;
    rest.position = first;
    rest.parent = 0;
    parts.segments = {prefix, rest};
    at::Tensor expected = network.enter(whole), got = network.enter(parts);
    for (std::size_t i = 0; i < network.blocks(); ++i) {
      network.forward(i, expected, whole);
      network.forward(i, got, parts);
    }
    INFO(name);
    CHECK(difference(got, expected.const_data_ptr<float>()) <=
          1e-5 * largest(expected.const_data_ptr<float>(), static_cast<std::size_t>(expected.numel())));
  }
}
