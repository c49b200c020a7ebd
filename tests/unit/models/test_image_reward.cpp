// ImageReward against the image_reward package (tests/golden/image_reward_tiny.safetensors, which
// scripts/reference/image_reward.py makes), and folders that do not fit.
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/files.h"
#include "formats/json_text.h"
#include "models/tensors.h"
#include "models/text/clip_model.h"
#include "models/text/image_reward_model.h"
#include "support/message.h"
#include "support/scratch.h"
#include "unit/models/changed_checkpoint.h"
#include "unit/models/fixtures.h"
#include "unit/models/reward_folder.h"

using namespace stamp;
using stamp::test::Changed;
using stamp::test::data_error;
using stamp::test::lacks;
using stamp::test::Scratch;

namespace {

constexpr std::size_t kCases = 5;

// The worst difference, relative to the largest value of the reference.
double relative_gap(const float* ours, const float* theirs, std::size_t count) {
  double worst = 0, scale = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const double d = std::abs(static_cast<double>(ours[i]) - static_cast<double>(theirs[i]));
    if (!(d <= worst)) worst = d;  // NaN counts as the largest
    scale = std::max(scale, std::abs(static_cast<double>(theirs[i])));
  }
  return worst / scale;
}

ByteImage image_of(const Checkpoint& fixture, std::size_t i) {
  const TensorInfo& tensor = fixture.at(std::string("in.image.").append(std::to_string(i)));
  ByteImage image(tensor.shape[0], tensor.shape[1]);
  std::copy_n(reinterpret_cast<const std::uint8_t*>(tensor.data), image.bytes.size(), image.bytes.begin());
  return image;
}

std::string prompt_of(const Checkpoint& fixture, std::size_t i) {
  return fixture.config().at("prompts").at(i).get<std::string>();
}

at::Tensor row_of(const std::vector<float>& values) {
  at::Tensor row = fresh_matrix(1, static_cast<std::int64_t>(values.size()));
  std::copy(values.begin(), values.end(), row.data_ptr<float>());
  return row;
}

struct Tiny {
  Scratch scratch;
  std::shared_ptr<const Checkpoint> fixture = test::open_fixture("image_reward_tiny");
  ImageRewardFiles files;
  Tiny() {
    REQUIRE(fixture);
    test::write_image_reward(scratch.path(), *fixture);
    files = open_image_reward(scratch.path().string());
  }
  std::string refusal(const std::function<void(Changed&, Json&)>& change) const {
    ImageRewardFiles other = files;
    auto changed = std::make_shared<Changed>(files.weights);
    change(*changed, other.config);
    other.weights = changed;
    return data_error([&] { ImageRewardModel model(other); });
  }
  std::string refusal_of_shape(const std::string& name, const std::vector<std::int64_t>& shape) const {
    return refusal([&](Changed& c, Json&) {
      for (TensorInfo& tensor : c.mutable_tensors())
        if (tensor.name == name) tensor.shape = shape;
    });
  }
  std::string refusal_without(const std::string& name) const {
    return refusal([&](Changed& c, Json&) {
      std::erase_if(c.mutable_tensors(), [&](const TensorInfo& tensor) { return tensor.name == name; });
    });
  }
};

}  // namespace

TEST_CASE("ImageReward prepares prompts and images as its package does", "[image_reward]") {
  const Tiny tiny;
  const ImageRewardModel model(tiny.files);
  const std::vector<std::int64_t> ids = test::ids_of(*tiny.fixture, "in.ids"),
                                  mask = test::ids_of(*tiny.fixture, "in.mask");
  const std::vector<float> pixels = test::floats_of(*tiny.fixture, "in.pixels");
  REQUIRE(ids.size() == kCases * ImageRewardModel::most_tokens);
  for (std::size_t i = 0; i < kCases; ++i) {
    TokenIds expected;
    for (std::size_t j = i * ImageRewardModel::most_tokens; j < (i + 1) * ImageRewardModel::most_tokens; ++j)
      if (mask[j] != 0) expected.push_back(static_cast<std::int32_t>(ids[j]));
    INFO(prompt_of(*tiny.fixture, i));
    CHECK(model.ids(prompt_of(*tiny.fixture, i)) == expected);
    // Resizing is exact in bytes, and both then do the same three float32 steps.
    const std::vector<float> ours = image_reward_pixels(image_of(*tiny.fixture, i), model.config().vision.image_side);
    CHECK(relative_gap(ours.data(), pixels.data() + i * ours.size(), ours.size()) < 1e-6);
  }
  CHECK(model.ids(prompt_of(*tiny.fixture, 4)).size() == 35);  // the one that is cut
}

TEST_CASE("an uneven middle lies where torchvision cuts it, not where CLIP's processor does", "[image_reward]") {
  const Tiny tiny;
  // 36 x 32 becomes 27 x 24 and 48 x 62 becomes 24 x 31: corners at 2 and 4, CLIP's at 1 and 3. 48 x 50: 24 x 25, at 0.
  for (const std::size_t i : {1, 2})
    CHECK(image_reward_pixels(image_of(*tiny.fixture, i), 24) != clip_pixels(image_of(*tiny.fixture, i), 24));
  for (const std::size_t i : {0, 3, 4})
    CHECK(image_reward_pixels(image_of(*tiny.fixture, i), 24) == clip_pixels(image_of(*tiny.fixture, i), 24));
}

TEST_CASE("a tiny ImageReward model agrees with the image_reward package", "[image_reward]") {
  const Tiny tiny;
  const ImageRewardModel model(tiny.files);
  CHECK(model.config().vision.tokens() == 10);
  CHECK(model.config().head == std::vector<std::int64_t>{20, 12, 10, 6, 5, 1});
  const std::vector<float> pixels = test::floats_of(*tiny.fixture, "in.pixels");
  const std::vector<float> tokens = test::floats_of(*tiny.fixture, "out.image_tokens"),
                           states = test::floats_of(*tiny.fixture, "out.states"),
                           rewards = test::floats_of(*tiny.fixture, "out.reward");
  const std::size_t of_image = pixels.size() / kCases, of_tokens = tokens.size() / kCases,
                    of_state = states.size() / kCases;
  for (std::size_t i = 0; i < kCases; ++i) {
    const at::Tensor made =
        model.image_tokens(row_of({pixels.begin() + static_cast<std::ptrdiff_t>(i * of_image),
                                   pixels.begin() + static_cast<std::ptrdiff_t>((i + 1) * of_image)}));
    REQUIRE(static_cast<std::size_t>(made.numel()) == of_tokens);
    const TokenIds ids = model.ids(prompt_of(*tiny.fixture, i));
    const at::Tensor state = model.state(ids, made);
    REQUIRE(static_cast<std::size_t>(state.numel()) == of_state);
    // float32 on both sides, sums of up to 192 products in another order: 1e-6 to 3e-6 of the largest value with the
    // same steps in NumPy. GELU by its tanh formula, the least of what could be wrong, moves 1.3e-4 and more.
    const double image_gap = relative_gap(made.const_data_ptr<float>(), tokens.data() + i * of_tokens, of_tokens),
                 state_gap = relative_gap(state.const_data_ptr<float>(), states.data() + i * of_state, of_state);
    const double reward = model.reward(ids, image_of(*tiny.fixture, i)), expected = static_cast<double>(rewards[i]);
    INFO("case " << i << ": gaps " << image_gap << " (image), " << state_gap << " (state); reward " << reward
                 << ", theirs " << expected);
    CHECK(image_gap < 1e-5);
    CHECK(state_gap < 1e-5);
    CHECK(std::abs(reward - expected) < 1e-5 * std::max(1.0, std::abs(expected)));
    CHECK(model.reward_of(state) == Approx(reward).margin(1e-6));
  }
}

TEST_CASE("rewards depend on the image and on the prompt", "[image_reward]") {
  const Tiny tiny;
  const ImageRewardModel model(tiny.files);
  const TokenIds one = model.ids("a small red lighthouse"), other = model.ids("a horse");
  const double reward = model.reward(one, image_of(*tiny.fixture, 0));
  CHECK(std::abs(model.reward(one, image_of(*tiny.fixture, 1)) - reward) > 1e-3);
  CHECK(std::abs(model.reward(other, image_of(*tiny.fixture, 0)) - reward) > 1e-3);
  const at::Tensor tokens = model.image_tokens(row_of(image_reward_pixels(image_of(*tiny.fixture, 0), 24)));
  CHECK(lacks(data_error([&] { model.state({4, 466}, tokens); }), "token id 466") == "");
  CHECK(lacks(data_error([&] { model.state(TokenIds(41, 4), tokens); }), "41 tokens is too long") == "");
}

TEST_CASE("a folder of ImageReward that lacks a file says what makes it", "[image_reward]") {
  const Tiny tiny;
  const std::string folder = tiny.scratch.path().string();
  const std::string digest = tiny.files.digest();
  CHECK(digest.size() == 64);
  test::spill(tiny.scratch.path() / "vocab.txt", "other");
  CHECK(open_image_reward(folder).digest() != digest);
  fs::rename(tiny.scratch.path() / "med_config.json", tiny.scratch.path() / "config.json");
  CHECK(open_image_reward(folder).config.at("hidden_size") == 20);
  for (const char* file : {"config.json", "vocab.txt", "model.safetensors"}) {
    fs::remove(tiny.scratch.path() / file);
    const std::string message = data_error([&] { open_image_reward(folder); });
    CHECK(lacks(message, file) == "");
    CHECK(lacks(message, "scripts/image_reward_weights.py") == "");
  }
  CHECK(lacks(data_error([&] { open_image_reward(folder + "/nothing"); }), "is no folder") == "");
}

TEST_CASE("tensors of ImageReward that are missing or of another shape are refused by name", "[image_reward]") {
  const Tiny tiny;
  const std::string vision = "blip.visual_encoder.", text = "blip.text_encoder.";
  CHECK(lacks(tiny.refusal_without(vision + "blocks.1.norm1.weight"),
              "has no tensor \"" + vision + "blocks.1.norm1.weight\"") == "");
  CHECK(lacks(tiny.refusal_without(text + "encoder.layer.1.crossattention.self.key.bias"),
              "layer.1.crossattention.self.key.bias\"") == "");
  CHECK(lacks(tiny.refusal_without("mlp.layers.7.bias"), "has no tensor \"mlp.layers.7.bias\"") == "");
  CHECK(lacks(tiny.refusal_of_shape(vision + "blocks.0.attn.qkv.weight", {24, 72}),
              "attn.qkv.weight has shape [24, 72], expected [72, 24]") == "");
  CHECK(lacks(tiny.refusal_of_shape(text + "encoder.layer.0.crossattention.self.key.weight", {20, 20}),
              "has shape [20, 20], expected [20, 24]") == "");
  CHECK(lacks(tiny.refusal_of_shape("mlp.layers.2.weight", {12, 10}),
              "mlp.layers.2.weight has shape [12, 10], expected [12, 12]") == "");
  CHECK(lacks(tiny.refusal_of_shape(vision + "pos_embed", {1, 12, 20}), "pos_embed has shape [1, 12, 20]") == "");
  CHECK(lacks(tiny.refusal_of_shape(vision + "patch_embed.proj.weight", {24, 192}),
              "expected [width, 3, patch, patch]") == "");
}

TEST_CASE("configurations of ImageReward that do not fit are refused by key", "[image_reward]") {
  const Tiny tiny;
  const auto refusal = [&](const std::string& key, const Json& value) {
    return tiny.refusal([&](Changed&, Json& config) { config[key] = value; });
  };
  CHECK(refusal("encoder_width", 768) ==
        "(no DataError)");  // replaced by the vision encoder's width, as in the package
  CHECK(lacks(refusal("add_cross_attention", false), "add_cross_attention: false") == "");
  CHECK(lacks(refusal("hidden_act", "relu"), "\"relu\"; allowed: \"gelu\"") == "");
  CHECK(lacks(refusal("num_attention_heads", 3), "a divisor of hidden_size (20)") == "");
  CHECK(lacks(refusal("num_hidden_layers", 3), "encoder.layer.2.") == "");
  CHECK(lacks(refusal("vocab_size", 500), "has 466 tokens with [DEC] and [ENC], but vocab_size of the model is 500") ==
        "");
  CHECK(lacks(refusal("max_position_embeddings", 20), "up to 35 tokens") == "");
  CHECK(lacks(refusal("vision_config", nullptr), "24 wide, no multiple of 64") == "");
  CHECK(lacks(refusal("vision_config", {{"num_attention_heads", 5}}), "a divisor of the vision encoder's width (24)") ==
        "");
}
