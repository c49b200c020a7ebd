#include <algorithm>

#include "base/error.h"
#include "explain/explain.h"
#include "support/catch.h"

using namespace stamp;

namespace {

// SmolLM2-135M: 9 heads of 64, for which no Hadamard matrix across heads is known.
Json decoder() {
  return {{"architecture", "llama"},
          {"name", "toy"},
          {"dimensions",
           {{"hidden", 576}, {"feed_forward", 1536}, {"layers", 30}, {"heads", 9}, {"kv_heads", 3}, {"head_dim", 64}}}};
}

Json image_model(const char* architecture, std::int64_t feed_forward) {
  Json j{{"architecture", architecture},
         {"name", "image toy"},
         {"dimensions",
          {{"hidden", 1152},
           {"feed_forward", feed_forward},
           {"layers", 28},
           {"heads", 16},
           {"head_dim", 72},
           {"tokens", 4096}}}};
  if (std::string(architecture) != "DiTTransformer2DModel") {
    j["dimensions"]["cross_heads"] = 16;
    j["dimensions"]["cross_head_dim"] = 72;
  }
  return j;
}

Json spec(const std::string& method, const std::string& transform) {
  return {
      {"model", {{"name", "toy"}}},
      {"data", {{"context", 2048}}},
      {"quantization",
       {{"method", method},
        {"activations", {{"bits", 4}, {"granularity", "token"}, {"symmetric", false}, {"clip", 1}}},
        {"kv_cache", {{"bits", 4}, {"granularity", "head"}, {"symmetric", false}, {"clip", 1}, {"transformed", true}}},
        {"sequence", {{"transform", transform}, {"skip_first", 1}, {"levels", "auto"}}},
        {"allocation", {{"kind", "two_level"}, {"high_bits", 8}, {"high_tokens", 64}, {"pick", "first"}}}}}};
}

Explanation of(const Json& settings, const Json& description) {
  return explain({"abc", settings, description, nullptr});
}

const ExplainedSlot& slot(const Explanation& e, const std::string& name) {
  const auto it = std::find_if(e.slots.begin(), e.slots.end(), [&](const ExplainedSlot& s) { return s.name == name; });
  REQUIRE(it != e.slots.end());
  return *it;
}

std::string right(const ExplainedSlot& s) {
  std::string text;
  for (const Step& step : s.right)
    text += std::string(name_of(step.placed)) + ": " + step.what + " | " + step.where + "\n";
  return text;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a decoder block has its six slots in the order of a pass, with who reads them") {
  const Explanation e = of(spec("rtn", "haar"), decoder());
  std::vector<std::string> names;
  for (const ExplainedSlot& s : e.slots) names.push_back(s.name);
  CHECK(names == std::vector<std::string>{"attention.qkv_proj", "attention.key_cache", "attention.value_cache",
                                          "attention.o_proj", "mlp.gate_up_proj", "mlp.down_proj"});
  const ExplainedSlot& qkv = slot(e, "attention.qkv_proj");
  REQUIRE(qkv.linears.size() == 3);
  CHECK(qkv.linears[0].outputs == 576);
  CHECK(qkv.linears[1].outputs == 192);
  CHECK(qkv.layer_operations == 2.0 * 576 * 960);
  CHECK(slot(e, "mlp.down_proj").layer_operations == 2.0 * 1536 * 576);
  CHECK(e.layer_operations() == 2.0 * (576 * 960 + 576 * 576 + 576 * 3072 + 1536 * 576));
  CHECK(e.layers == 30);
}

TEST_CASE("L stands before every slot and L^-1 before what is not linear in the rows, with their cost") {
  const Explanation e = of(spec("rtn", "haar"), decoder());
  CHECK(e.left_text == "haar, 5 levels, behind 1 token that passes as it is");
  const ExplainedSlot& qkv = slot(e, "attention.qkv_proj");
  CHECK(qkv.left.placed == Placed::online);
  CHECK(has(qkv.left_back.where, "before RoPE"));
  // 2047 rows in 5 levels of pairs: 2046 + 1024 + 512 + 256 + 128 rows at two operations.
  const double token = 2.0 * (2046 + 1024 + 512 + 256 + 128) / 2048;
  CHECK(qkv.left.operations == Approx(token * 576));
  CHECK(qkv.left_back.operations == Approx(token * 960));
  CHECK(qkv.relative_cost() == Approx(token * (576 + 960) / (2.0 * 576 * 960)));
  CHECK(*qkv.average_bits == 4.125);
  CHECK(qkv.high_rows == 64);
}

TEST_CASE("identity has no left transform and costs nothing; an untransformed cache keeps its high rows") {
  const Explanation e = of(spec("rtn", "identity"), decoder());
  CHECK(e.online_operations() == 0);
  for (const ExplainedSlot& s : e.slots) CHECK(s.left.placed == Placed::none);
  Json b = spec("rtn", "haar");
  b["quantization"]["kv_cache"]["transformed"] = false;
  const Explanation option_b = of(b, decoder());
  CHECK(slot(option_b, "attention.key_cache").left.placed == Placed::none);
  CHECK(*slot(option_b, "attention.key_cache").average_bits == 4.125);
  CHECK(slot(option_b, "attention.o_proj").left.placed == Placed::online);
}

TEST_CASE("a transform without a level is the identity, and what its levels rest on is noted") {
  Json settings = spec("rtn", "haar");
  settings["data"]["context"] = 128;
  settings["quantization"]["allocation"] = {{"kind", "uniform"}};
  const Explanation e = of(settings, decoder());
  CHECK(e.left_text == "haar with 0 levels, which is the identity: rows are quantized where they lie");
  CHECK(e.transform == "identity");
  CHECK(e.online_operations() == 0);
  for (const ExplainedSlot& s : e.slots) CHECK(s.left.placed == Placed::none);
  CHECK(has(explanation_text(e), "* levels: auto assumes 64 high rows, because allocation uniform names none"));
  settings["quantization"]["sequence"]["levels"] = 2;
  const Explanation given = of(settings, decoder());
  CHECK(given.transform == "haar");
  CHECK_FALSE(has(explanation_text(given), "assumes"));
}

TEST_CASE("smoothquant folds scales into norms and leaves the inputs that no norm feeds") {
  const Explanation e = of(spec("smoothquant", "identity"), decoder());
  CHECK(has(right(slot(e, "attention.qkv_proj")), "offline: smoothing scale"));
  CHECK(has(right(slot(e, "mlp.gate_up_proj")), "offline"));
  CHECK(slot(e, "attention.o_proj").right.empty());
  CHECK(slot(e, "mlp.down_proj").right.empty());
  CHECK(e.online_operations() == 0);
}

TEST_CASE("a shift is taken off at the slot and given back by a bias; a mean of the sequence costs its sum") {
  Json settings = spec("rtn", "identity");
  settings["quantization"]["activations"]["shift"] = "calibrated";
  const Explanation fixed = of(settings, decoder());
  CHECK(right(slot(fixed, "attention.qkv_proj")).find("calibration") != std::string::npos);
  CHECK(slot(fixed, "attention.qkv_proj").online_operations() == Approx(576));
  CHECK(right(slot(fixed, "attention.key_cache")).empty());
  settings["quantization"]["activations"]["shift"] = "sequence";
  CHECK(slot(of(settings, decoder()), "attention.qkv_proj").online_operations() == Approx(2 * 576));
}

TEST_CASE("quarot: the residual rotation is offline, three Hadamards are online") {
  const Explanation e = of(spec("quarot", "identity"), decoder());
  CHECK_FALSE(e.network.empty());
  CHECK(has(right(slot(e, "attention.qkv_proj")), "offline: Q (576 x 576)"));
  CHECK(has(right(slot(e, "attention.value_cache")), "offline: Hadamard 64"));
  CHECK(has(right(slot(e, "attention.o_proj")), "online: random orthogonal 9 x 9 across heads"));
  CHECK(has(right(slot(e, "mlp.down_proj")), "online: Hadamard 12 x 128"));
  CHECK(has(right(slot(e, "attention.key_cache")), "online: Hadamard 64 on every head of k"));
  CHECK(slot(e, "attention.qkv_proj").online_operations() == 0);
  CHECK(slot(e, "attention.key_cache").online_operations() == (9 + 3) * 64.0 * 7);
  Json full = spec("quarot", "identity");
  full["quantization"]["kv_cache"]["bits"] = 16;
  const Explanation without = of(full, decoder());
  CHECK(slot(without, "attention.key_cache").right.empty());  // of use only to a quantizer of the keys
  CHECK_FALSE(slot(without, "attention.key_cache").quantized);
}

TEST_CASE("spinquant has nothing across heads, flatquant five small transforms, svdquant a low-rank part") {
  const Explanation spin = of(spec("spinquant", "identity"), decoder());
  CHECK(slot(spin, "attention.o_proj").online_operations() == 0);
  CHECK(slot(spin, "mlp.down_proj").online_operations() > 0);
  const Explanation flat = of(spec("flatquant", "identity"), decoder());
  std::size_t online = 0;
  for (const ExplainedSlot& s : flat.slots)
    for (const Step& step : s.right) online += step.placed == Placed::online ? 1 : 0;
  CHECK(online == 5);
  CHECK(has(right(slot(flat, "mlp.down_proj")), "into the rows of up_proj"));
  Json settings = spec("svdquant", "identity");
  settings["quantization"]["svdquant"] = {{"rank", 32}};
  const Explanation svd = of(settings, decoder());
  const ExplainedSlot& o = slot(svd, "attention.o_proj");
  CHECK(o.online_operations() == 576 + 2.0 * 32 * (576 + 576));  // the scale cannot be folded there
  CHECK(slot(svd, "attention.qkv_proj").online_operations() == 2.0 * 32 * (576 + 960));
  CHECK(slot(svd, "attention.key_cache").right.empty());
}

TEST_CASE(
    "a PixArt block: text rows are left alone, two scales fold into the modulation, QuaRot is online everywhere") {
  Json settings = spec("quarot", "haar2d");
  settings["quantization"]["activations"]["granularity"] = "group";
  settings["quantization"]["activations"]["group_size"] = 64;
  const Explanation e = of(settings, image_model("PixArtTransformer2DModel", 4608));
  CHECK(e.diffusion);
  CHECK(e.tokens == 4096);
  CHECK(e.skip_first == 0);
  CHECK(e.left_text == "haar2d, 3 levels, on a grid of 64 x 64 tokens");
  CHECK(e.slots.size() == 7);
  CHECK(e.network.empty());
  const ExplainedSlot& text = slot(e, "attn2.to_k");
  CHECK_FALSE(text.quantized);
  CHECK(text.online_operations() == 0);
  CHECK(text.right.empty());
  for (const char* name :
       {"attn1.to_q", "attn1.to_out.0", "attn2.to_q", "attn2.to_out.0", "ff.net.0.proj", "ff.net.2"}) {
    CAPTURE(name);
    CHECK(has(right(slot(e, name)), "online: Hadamard"));
    CHECK(slot(e, name).left.placed == Placed::online);
    CHECK(slot(e, name).granularity == "groups of 64 features");
    CHECK(*slot(e, name).average_bits == 4.0625);  // the published one
  }
  const Explanation scaled = of(spec("smoothquant", "identity"), image_model("PixArtTransformer2DModel", 4608));
  CHECK(has(right(slot(scaled, "attn1.to_q")), "1 + scale(t)"));
  CHECK(has(right(slot(scaled, "ff.net.0.proj")), "offline"));
  CHECK(slot(scaled, "attn2.to_q").right.empty());
  const Explanation balanced = of(spec("viditq", "identity"), image_model("PixArtTransformer2DModel", 4608));
  CHECK(has(right(slot(balanced, "attn2.to_q")), "online: balancing scale"));
  CHECK(has(right(slot(balanced, "attn1.to_q")), "offline: balancing scale"));
}

TEST_CASE("text rows that are asked for are quantized without transform and high rows") {
  Json settings = spec("rtn", "haar2d");
  settings["quantization"]["activations"]["text"] = true;
  const Explanation e = of(settings, image_model("PixArtTransformer2DModel", 4608));
  const ExplainedSlot& text = slot(e, "attn2.to_k");
  CHECK(text.quantized);
  CHECK(*text.average_bits == 4);
  CHECK(text.left.placed == Placed::none);
  settings["quantization"]["activations"]["shift"] = "calibrated";
  const Explanation shifted = of(settings, image_model("PixArtTransformer2DModel", 4608));
  for (const ExplainedSlot& s : shifted.slots) {
    INFO(s.name);
    CHECK(s.right.empty() == (s.info.rows == SlotRows::context));
  }
}

TEST_CASE("DiT has no cross-attention, SANA's L^-1 stands before the convolution that mixes tokens") {
  const Explanation dit = of(spec("rtn", "haar2d"), image_model("DiTTransformer2DModel", 4608));
  CHECK(dit.slots.size() == 4);
  const Explanation sana = of(spec("rtn", "haar2d"), image_model("SanaTransformer2DModel", 5600));
  CHECK(has(slot(sana, "ff.conv_inverted").left_back.where, "depthwise convolution"));
  CHECK(slot(sana, "ff.conv_inverted").linears[0].outputs == 11200);
}

TEST_CASE("a record's bits and errors stand beside the plan's, as means over the layers") {
  Record record;
  for (int layer = 0; layer < 2; ++layer) {
    SlotResult s;
    s.name = "layers." + std::to_string(layer) + ".mlp.down_proj.input";
    s.sums.samples = 1;
    s.sums.tokens = 1024;
    s.sums.signal = 100;
    s.sums.error = 1;
    s.sums.b1 = layer == 0 ? 10 : 20;
    s.average_bits = 4.5 + layer;
    record.slots.push_back(s);
  }
  const Explanation e = explain({"abc", spec("rtn", "haar"), decoder(), &record});
  const ExplainedSlot& down = slot(e, "mlp.down_proj");
  CHECK(e.tokens == 1024);
  CHECK(*down.average_bits == 5);
  CHECK(down.average_measured);
  CHECK(*down.ratio == Approx(0.075));
  CHECK(*down.sqnr_db == Approx(20));
  CHECK_FALSE(slot(e, "mlp.gate_up_proj").ratio.has_value());
  CHECK(has(explanation_text(e), "5 bits on average (measured)"));
}

TEST_CASE("transforms that slots choose: what there is to choose from, and what a record says of the layers") {
  Json settings = spec("rtn", "per_slot");
  settings["quantization"]["sequence"].erase("levels");
  settings["quantization"]["sequence"]["candidates"] = "auto";
  const Explanation before = of(settings, decoder());
  CHECK(before.left_text ==
        "per_slot, one of identity, haar/1 to haar/11, dct at every slot, behind 1 token that passes as it is");
  CHECK(slot(before, "mlp.down_proj").left.placed == Placed::online);
  CHECK(slot(before, "mlp.down_proj").chosen.empty());
  const auto noted = [](const Explanation& e, const char* part) {
    return std::any_of(e.notes.begin(), e.notes.end(), [&](const std::string& n) { return has(n, part); });
  };
  CHECK(noted(before, "known when the trial has run"));

  Record record;
  record.transforms = {{"layers.0.mlp.down_proj.input", "haar/5"},   {"layers.1.mlp.down_proj.input", "identity"},
                       {"layers.2.mlp.down_proj.input", "haar/5"},   {"layers.3.mlp.down_proj.input", "identity"},
                       {"layers.0.attention.key_cache", "identity"}, {"layers.1.attention.key_cache", "identity"},
                       {"layers.0.mlp.gate_up_proj.input", "dct"},   {"layers.10.mlp.gate_up_proj.input", "haar/1"}};
  const Explanation e = explain({"abc", settings, decoder(), &record});
  CHECK(slot(e, "mlp.down_proj").chosen == "haar/5 in 2 layers, identity in 2");
  CHECK(slot(e, "mlp.gate_up_proj").chosen == "dct in 1 layer, haar/1 in 1");
  CHECK(slot(e, "attention.key_cache").left.placed == Placed::none);
  CHECK(slot(e, "attention.key_cache").chosen == "identity in 2 layers");
  CHECK_FALSE(noted(e, "known when the trial has run"));
  CHECK_FALSE(noted(e, "not known"));
  // Half of the layers pay for five levels.
  const Explanation haar = of(spec("rtn", "haar"), decoder());
  CHECK(slot(e, "mlp.down_proj").left.operations == Approx(slot(haar, "mlp.down_proj").left.operations / 2));
  CHECK(has(explanation_text(e), "chosen    haar/5 in 2 layers, identity in 2"));
  for (const Json& s : explanation_json(e)["slots"])
    if (s["name"] == "mlp.down_proj") CHECK(s["chosen"] == "haar/5 in 2 layers, identity in 2");
  // A transform whose cost nobody has counted is left out, and that is said.
  record.transforms["layers.4.mlp.down_proj.input"] = "wavelet";
  CHECK(noted(explain({"abc", settings, decoder(), &record}), "not known"));
}

TEST_CASE("text, JSON and picture say the same of every slot") {
  const Explanation e = of(spec("quarot", "haar"), decoder());
  const std::string text = explanation_text(e), picture = explanation_svg(e, true);
  const Json json = explanation_json(e);
  REQUIRE(json["slots"].size() == e.slots.size());
  for (std::size_t i = 0; i < e.slots.size(); ++i) {
    CAPTURE(e.slots[i].name);
    CHECK(has(text, "\n" + e.slots[i].name + "  ("));
    CHECK(has(picture, ">" + e.slots[i].name + "<"));
    CHECK(json["slots"][i]["relative_cost"] == e.slots[i].relative_cost());
  }
  CHECK(has(picture, "xmlns="));
  CHECK_FALSE(has(explanation_svg(e, false), "xmlns="));
  CHECK(has(explanation_title(e), "quarot with haar on toy (llama): 4.125 activation bits"));
}

TEST_CASE("names that hold markup stay texts in the picture") {
  Json description = decoder();
  description["name"] = "<script>&\"";
  const std::string picture = explanation_svg(of(spec("rtn", "haar"), description), true);
  CHECK_FALSE(has(picture, "<script>"));
  CHECK(has(picture, "&lt;script&gt;&amp;&quot;"));
}

TEST_CASE("a model without dimensions is refused with the trial's name; an unknown method is admitted") {
  try {
    of(spec("rtn", "haar"), {{"architecture", "llama"}});
    FAIL("nothing was thrown");
  } catch (const DataError& error) {
    CHECK(has(error.what(), "trial abc"));
  }
  const Explanation e = of(spec("somebody's", "haar"), decoder());
  CHECK(std::any_of(e.notes.begin(), e.notes.end(), [](const std::string& n) { return has(n, "somebody's"); }));
}
