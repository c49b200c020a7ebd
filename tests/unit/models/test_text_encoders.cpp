// T5, CLIP and Gemma as text encoders against their references (specification models 7, 8, 12.5, 17).
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <cmath>

#include "models/tensors.h"
#include "models/text/clip_model.h"
#include "models/text/gemma_encoder.h"
#include "models/text/t5_encoder.h"
#include "support/message.h"
#include "support/scratch.h"
#include "tokenizer/folder.h"
#include "unit/models/changed_checkpoint.h"
#include "unit/models/fixtures.h"

using namespace stamp;
using stamp::test::Changed;
using stamp::test::data_error;
using stamp::test::lacks;

namespace {

struct Gap {
  double worst = 0, scale = 0;
  void add(const at::Tensor& ours, const float* reference) {
    for (std::int64_t i = 0; i < ours.numel(); ++i) {
      const double d =
          std::abs(static_cast<double>(ours.const_data_ptr<float>()[i]) - static_cast<double>(reference[i]));
      if (!(d <= worst)) worst = d;  // NaN counts as the largest
      scale = std::max(scale, std::abs(static_cast<double>(reference[i])));
    }
  }
  double relative() const { return worst / scale; }
};

// Prompts of a fixture: every row's ids up to its mask.
std::vector<TokenIds> prompts_of(const Checkpoint& fixture, bool masked = true) {
  const std::vector<std::int64_t> ids = test::ids_of(fixture, "in.ids");
  const auto columns = static_cast<std::size_t>(fixture.at("in.ids").shape[1]);
  const std::vector<std::int64_t> mask =
      masked ? test::ids_of(fixture, "in.mask") : std::vector<std::int64_t>(ids.size(), 1);
  std::vector<TokenIds> prompts(ids.size() / columns);
  for (std::size_t i = 0; i < ids.size(); ++i)
    if (mask[i]) prompts[i / columns].push_back(static_cast<std::int32_t>(ids[i]));
  return prompts;
}

Gap gap_of(const Checkpoint& fixture, const char* name, const std::vector<at::Tensor>& ours) {
  const std::vector<float> all = test::floats_of(fixture, name);
  const std::int64_t per_prompt = static_cast<std::int64_t>(all.size()) / static_cast<std::int64_t>(ours.size());
  Gap gap;
  for (std::size_t i = 0; i < ours.size(); ++i)
    gap.add(ours[i], all.data() + static_cast<std::int64_t>(i) * per_prompt);
  return gap;
}

bool same(const at::Tensor& a, const at::Tensor& b) {
  return a.numel() == b.numel() &&
         std::equal(a.const_data_ptr<float>(), a.const_data_ptr<float>() + a.numel(), b.const_data_ptr<float>());
}

}  // namespace

TEST_CASE("tiny T5 encoders agree with their references, block by block") {
  for (const char* name : {"t5_tiny", "t5_encoder_tiny"}) {
    const auto fixture = test::open_fixture(name);
    if (!fixture) continue;
    const T5Encoder encoder(fixture);
    const std::vector<TokenIds> prompts = prompts_of(*fixture);
    const auto observe = [&](std::size_t block, const at::Tensor& rows) {
      const std::string out = "out.block." + std::to_string(block);
      if (!fixture->find(out)) return;
      std::vector<at::Tensor> parts;
      std::int64_t first = 0;
      for (const TokenIds& ids : prompts) {
        parts.push_back(rows.narrow(0, first, static_cast<std::int64_t>(ids.size())));
        first += static_cast<std::int64_t>(ids.size());
      }
      const Gap gap = gap_of(*fixture, out.c_str(), parts);
      INFO(name << " " << out << " " << gap.relative());
      CHECK(gap.relative() <= 1e-5);
    };
    const Gap gap = gap_of(*fixture, "out.last_hidden_state", encoder.encode(prompts, observe));
    INFO(name << ": largest relative gap " << gap.relative());
    CHECK(gap.relative() <= 1e-5);
  }
}

TEST_CASE("T5's buckets are the reference's for every distance") {
  const auto fixture = test::open_fixture("t5_tiny");
  if (!fixture) return;
  const std::vector<std::int64_t> buckets = test::ids_of(*fixture, "out.buckets_rel_m199_to_p199");
  for (std::int64_t d = -199; d <= 199; ++d) CHECK(t5_bucket(d, 32, 128) == buckets[static_cast<std::size_t>(d + 199)]);
  CHECK(t5_bucket(100000, 32, 128) == 31);
  CHECK(t5_bucket(-100000, 32, 128) == 15);
}

TEST_CASE("a prompt's rows do not depend on the prompts beside it") {
  const auto fixture = test::open_fixture("t5_encoder_tiny");
  REQUIRE(fixture);
  const T5Encoder encoder(fixture);
  const std::vector<TokenIds> prompts = prompts_of(*fixture);
  const auto both = encoder.encode(prompts);
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    Gap gap;
    gap.add(encoder.encode({prompts[i]}).front(), both[i].const_data_ptr<float>());
    CHECK(gap.relative() <= 1e-6);
  }
  const at::Tensor padded = padded_rows(both[1], 30);
  CHECK(padded.size(0) == 30);
  CHECK(same(padded.narrow(0, 0, 23), both[1]));
  for (std::int64_t i = 23 * 24; i < 30 * 24; ++i) CHECK(padded.const_data_ptr<float>()[i] == 0.0F);
  CHECK_THROWS_AS(padded_rows(both[1], 22), std::logic_error);
}

TEST_CASE("T5 checkpoints that do not fit are refused by name") {
  const auto fixture = test::open_fixture("t5_encoder_tiny");
  REQUIRE(fixture);
  const auto refusal = [&](const std::function<void(Changed&)>& change) {
    auto changed = std::make_shared<Changed>(fixture);
    change(*changed);
    return data_error([&] { T5Encoder encoder(changed); });
  };
  CHECK(lacks(refusal([](Changed& c) { c.mutable_config()["feed_forward_proj"] = "relu"; }), "gated-gelu") == "");
  CHECK(lacks(refusal([](Changed& c) { c.mutable_config()["num_layers"] = 4; }), "encoder.block.3") == "");
  CHECK(lacks(refusal([](Changed& c) { c.mutable_config()["d_ff"] = 41; }), "has shape [40, 24], expected [41, 24]") ==
        "");
  CHECK(lacks(refusal([](Changed& c) { c.mutable_config()["model_type"] = "llama"; }), "\"t5\"") == "");
  const T5Encoder encoder(fixture);
  CHECK(lacks(data_error([&] { encoder.encode({{3, 97}}); }), "token id 97 of text 0") == "");
  CHECK_THROWS_AS(encoder.encode({TokenIds()}), std::logic_error);
  CHECK(encoder.encode({}).empty());
}

TEST_CASE("a tiny CLIP model agrees with transformers", "[clip]") {
  const auto fixture = test::open_fixture("clip_tiny");
  REQUIRE(fixture);
  const std::vector<TokenIds> texts = prompts_of(*fixture, false);
  const std::vector<float> all = test::floats_of(*fixture, "in.pixels");
  at::Tensor pixels = fresh_matrix(3, 3 * 16 * 16);
  std::copy(all.begin(), all.end(), pixels.data_ptr<float>());
  const auto check = [&](const std::shared_ptr<const Checkpoint>& checkpoint, const std::string& prefix) {
    const ClipModel model(checkpoint);
    Gap text, image;
    text.add(model.text_features(texts), test::floats_of(*fixture, prefix + "text").data());
    image.add(model.pixel_features(pixels), test::floats_of(*fixture, prefix + "image").data());
    INFO(prefix << ": largest relative gaps " << text.relative() << " (text), " << image.relative() << " (image)");
    CHECK(text.relative() <= 1e-5);
    CHECK(image.relative() <= 1e-5);
  };
  check(fixture, "out.");
  auto other = std::make_shared<Changed>(fixture);
  for (const char* part : {"text_config", "vision_config"}) other->mutable_config()[part]["hidden_act"] = "gelu";
  other->mutable_config()["text_config"]["eos_token_id"] = 2;
  check(other, "out.gelu.");
}

TEST_CASE("CLIP's image preparation is that of its own processor with PIL", "[clip]") {
  const auto fixture = test::open_fixture("clip_tiny");
  REQUIRE(fixture);
  const std::vector<float> all = test::floats_of(*fixture, "in.pixels");
  const std::int64_t sizes[][2] = {{20, 31}, {40, 17}, {16, 16}};
  // Pillow 13, which made the golden pixels, takes the vertical pass of 40 x 17 first; versions before it and ours
  // always begin with the horizontal one. Either order alone is Pillow's to the bit (test_images).
  for (const std::size_t n : {0, 2}) {
    const std::int64_t height = sizes[n][0], width = sizes[n][1], seed = static_cast<std::int64_t>(n) + 1;
    ByteImage image(height, width);  // the formula of scripts/reference/images.py
    for (std::int64_t y = 0; y < height; ++y)
      for (std::int64_t x = 0; x < width; ++x)
        for (std::int64_t c = 0; c < 3; ++c) {
          const std::int64_t rough = (x * x * 31 + y * y * 17 + x * y * 7 + c * 101 + seed * 57) % 251;
          const std::int64_t smooth = (x * 5 + y * 3 + c * 40 + seed * 11) % 256;
          image.pixel(y, x)[c] = static_cast<std::uint8_t>((x / 8 + y / 8) % 2 == 0 ? rough : smooth);
        }
    const std::vector<float> ours = clip_pixels(image, 16);
    double worst = 0;
    for (std::size_t i = 0; i < ours.size(); ++i)
      worst = std::max(worst, std::abs(static_cast<double>(ours[i]) - static_cast<double>(all[n * ours.size() + i])));
    INFO(height << " x " << width);
    CHECK(worst < 1e-6 * 4);  // values up to about 2.7
  }
}

TEST_CASE("texts that CLIP cannot take are refused", "[clip]") {
  const auto fixture = test::open_fixture("clip_tiny");
  REQUIRE(fixture);
  const ClipModel model(fixture);
  CHECK(lacks(data_error([&] { model.text_features({{5, 6, 7}}); }), "no end token (id 96)") == "");
  CHECK(lacks(data_error([&] { model.text_features({TokenIds(14, 96)}); }), "14 tokens is too long") == "");
  CHECK(lacks(data_error([&] { model.text_features({{99, 96}}); }), "token id 99") == "");
  const at::Tensor rows = model.text_features({{5, 96}, {5, 96, 7}});
  CHECK(clip_score(rows.narrow(0, 0, 1), rows.narrow(0, 1, 1)) == Approx(100.0));  // nothing behind the end counts
  auto changed = std::make_shared<Changed>(fixture);
  changed->mutable_config().erase("vision_config");
  CHECK(lacks(data_error([&] { ClipModel other(changed); }), "has no vision_config") == "");
}

TEST_CASE("Gemma 2 without its head gives the states after the final norm, under either spelling of its tensors") {
  const auto fixture = test::open_fixture("gemma2_tiny");
  if (!fixture) return;
  auto bare = std::make_shared<Changed>(fixture);
  for (TensorInfo& tensor : bare->mutable_tensors())
    if (tensor.name.rfind("model.", 0) == 0) tensor.name.erase(0, 6);
  const std::vector<TokenIds> prompts = prompts_of(*fixture, false);
  for (const std::shared_ptr<const Checkpoint>& checkpoint :
       {std::shared_ptr<const Checkpoint>(fixture), std::shared_ptr<const Checkpoint>(bare)}) {
    const GemmaEncoder encoder(checkpoint);
    const auto all = encoder.encode(prompts);
    const Gap gap = gap_of(*fixture, "out.norm", all);
    INFO("gemma2_tiny: largest relative gap " << gap.relative());
    CHECK(gap.relative() <= 1e-5);
    CHECK(encoder.width() == 36);
    // The rows that SANA keeps: the first one, then those from some place on.
    SanaPrompt prompt;
    prompt.ids = prompts[0];
    prompt.first_kept = 4;
    const auto kept = encoder.encode(std::vector<SanaPrompt>{prompt}).front();
    const at::Tensor alone = encoder.encode(std::vector<TokenIds>{prompts[0]}).front();
    REQUIRE(kept.size(0) == alone.size(0) - 3);
    CHECK(same(kept.narrow(0, 0, 1), alone.narrow(0, 0, 1)));
    CHECK(same(kept.narrow(0, 1, kept.size(0) - 1), alone.narrow(0, 4, kept.size(0) - 1)));
  }
}

namespace {

// One token a character, 1 in front.
class Letters : public Tokenizer {
 public:
  std::vector<std::int32_t> encode(std::string_view text, bool special) const override {
    std::vector<std::int32_t> ids;
    if (special) ids.push_back(1);
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  std::string decode(const std::vector<std::int32_t>&) const override { return ""; }
  std::int64_t vocabulary() const override { return 256; }
  std::int64_t bos() const override { return 1; }
  bool prepends_bos() const override { return true; }
  std::string kind() const override { return ""; }
  std::string digest() const override { return ""; }
};

}  // namespace

TEST_CASE("prompts are cut to the length of their encoder, and keep their last token") {
  CHECK(plain_caption("\t A Photo of ÉTÉ, #1 (best) \n") == "a photo of été, #1 (best)");
  const auto folder = std::filesystem::path(STAMP_SOURCE_DIR) / "tests" / "golden" / "text_tokenizers";
  const auto tokenizer = open_tokenizer_folder(folder.string());
  const TokenIds whole = prompt_ids(*tokenizer, "a small red cat near the river", 300);
  const TokenIds cut = prompt_ids(*tokenizer, "a small red cat near the river", 4);
  CHECK(whole.back() == 1);
  CHECK(cut == TokenIds{whole[0], whole[1], whole[2], 1});
  CHECK(prompt_ids(*tokenizer, "", 300) == TokenIds{1});
}

TEST_CASE("SANA's prompts keep the first token and what follows the instruction") {
  const Letters tokenizer;
  // "Do: " has five ids with the one in front; ten rows: up to 13 ids, of which 0 and 4 to 12 are kept.
  const SanaPrompt prompt = sana_prompt(tokenizer, "Do: ", " A CAT ", 10);
  CHECK(prompt.first_kept == 4);
  CHECK(prompt.ids == tokenizer.encode("Do: a cat", true));
  CHECK(sana_prompt(tokenizer, "Do: ", "a very long prompt", 10).ids.size() == 13);
  const SanaPrompt negative = sana_prompt(tokenizer, "", "", 10);
  CHECK(negative.ids == TokenIds{1});
  CHECK(negative.first_kept == 1);
  CHECK(sana_prompt(tokenizer, "", "a very long prompt", 10).ids.size() == 10);

  const stamp::test::Scratch scratch;
  const auto path = scratch.path() / "instruction.txt";
  CHECK(lacks(data_error([&] { sana_instruction(path); }), "scripts/sana_instruction.py") == "");
  stamp::test::spill(path, "another text\n");
  CHECK(lacks(data_error([&] { sana_instruction(path); }), "its SHA-256 is") == "");
}
