// Plans of trials of images: what is refused, and what they cost.
#include <cmath>

#include "fixture.h"
#include "formats/checkpoint.h"
#include "models/info/architecture.h"
#include "support/catch.h"
#include "sweep/estimate.h"
#include "transforms/sequence_transform.h"

using namespace stamp;
using namespace stamp::test;

namespace {

// The invented catalog with the real transforms, metrics of images, and methods by the names that costs know.
const Catalog& image_catalog() {
  static const Catalog catalog = [] {
    Catalog c;
    c.add(PluginKind::architecture, plugin("toy"));
    for (const SequenceTransformPlugin& p : sequence_transforms()) c.add(PluginKind::sequence_transform, p.info);
    for (const char* name : {"rtn", "smoothquant", "quarot", "viditq", "hadanorm", "svdquant"}) {
      PluginInfo i = plugin(name);
      i.needs_calibration = i.name == "smoothquant";
      i.needs_block_inputs = i.name == "viditq" || i.name == "hadanorm" || i.name == "svdquant";
      c.add(PluginKind::method, i);
    }
    c.add(PluginKind::weight_quantizer, plugin("rtn"));
    PluginInfo two = plugin("two_level");
    OptionInfo k;
    k.name = "high_tokens";
    k.type = OptionInfo::Type::integer;
    k.fallback = 8;
    k.min = 0;
    two.options = {k};
    c.add(PluginKind::allocator, two);
    for (const char* name : {"perplexity", "slot_error", "noise_sqnr", "image_sqnr"}) {
      PluginInfo i = plugin(name);
      if (i.name == "slot_error") i.reads = "items";
      if (i.name == "noise_sqnr") i.reads = "steps";
      if (i.name == "image_sqnr") i.reads = "images";
      c.add(PluginKind::metric, i);
    }
    c.add(PluginKind::text, plugin("wikitext2-train"));
    return c;
  }();
  return catalog;
}

TrialSpec image_trial() {
  TrialSpec s;
  s.model.name = s.model.path = "dit";
  s.evaluate = {"noise_sqnr"};
  s.images.count = 8;
  s.images.traced = 2;
  s.images.steps = 10;
  s.quantization.kv_cache.bits = 16;
  s.quantization.sequence.transform = "haar2d";
  return s;
}

PlannedTrial planned(const TrialSpec& s) {
  PlannedTrial t;
  t.spec = s;
  t.canonical = canonical(s, image_catalog());
  t.id = trial_id(s, image_catalog());
  return t;
}

MachineSpeed round_speed() {
  MachineSpeed s;
  s.linear = {{64, 1e9}};
  s.double_product = s.attention = 1e9;
  s.row_work = s.gate = s.exponential = s.hadamard = 1e-9;
  s.quantizer = {{"identity", 2e-9}, {"haar", 5e-9}, {"dct", 7e-9}};
  s.statistics = 3e-9;
  s.clip_search = 1e-7;
  s.rounding = 1e-8;
  s.load = s.pack = s.eigen = 1e-9;
  s.program_bytes = 1e8;
  return s;
}

double part(const Parts& parts, const std::string& name) {
  for (const auto& [n, value] : parts)
    if (n == name) return value;
  return -1;
}

// As models/info describes the published files.
Json pixart_sigma() {
  return {{"architecture", "PixArtTransformer2DModel"},
          {"parameters", 610856096},
          {"dimensions",
           {{"hidden", 1152},
            {"feed_forward", 4608},
            {"layers", 28},
            {"heads", 16},
            {"head_dim", 72},
            {"in_channels", 4},
            {"out_channels", 8},
            {"sample_size", 128},
            {"patch_size", 2},
            {"tokens", 4096},
            {"caption_channels", 4096},
            {"cross_heads", 16},
            {"cross_head_dim", 72}}}};
}
Json sana() {
  return {{"architecture", "SanaTransformer2DModel"},
          {"parameters", 1604000000},
          {"guidance_embeds", false},
          {"dimensions",
           {{"hidden", 2240},
            {"feed_forward", 5600},
            {"layers", 20},
            {"heads", 70},
            {"head_dim", 32},
            {"in_channels", 32},
            {"out_channels", 32},
            {"sample_size", 32},
            {"patch_size", 1},
            {"tokens", 1024},
            {"caption_channels", 2304},
            {"cross_heads", 20},
            {"cross_head_dim", 112}}}};
}
ModelShape small_dit() {
  return shape_of({{"architecture", "DiTTransformer2DModel"},
                   {"parameters", 100000},
                   {"dimensions",
                    {{"hidden", 32},
                     {"feed_forward", 128},
                     {"layers", 2},
                     {"heads", 4},
                     {"head_dim", 8},
                     {"in_channels", 3},
                     {"out_channels", 3},
                     {"sample_size", 16},
                     {"patch_size", 2},
                     {"tokens", 64},
                     {"classes", 10}}}});
}

double run_seconds(const TrialSpec& s, const ModelShape& m) {
  return part(trial_seconds(s, image_catalog(), m, {}, round_speed()), "run");
}

}  // namespace

TEST_CASE(
    "transforms on a grid are refused for texts and planned for images, lengths that need the model are left to it") {
  const Schema schema(image_catalog());
  TrialSpec s = image_trial();
  for (const char* transform : {"haar2d", "dct2d", "wht", "haar", "dct", "identity"}) {
    s.quantization.sequence.transform = transform;
    const std::optional<Refusal> why = refusal(s, schema);
    INFO(transform << ": " << (why ? why->because : ""));
    CHECK_FALSE(why.has_value());
  }
  s.evaluate = {"perplexity", "slot_error"};
  s.quantization.sequence.skip_first = 0;
  for (const char* transform : {"haar2d", "dct2d"}) {
    s.quantization.sequence.transform = transform;
    const std::optional<Refusal> why = refusal(s, schema);
    REQUIRE(why.has_value());
    CHECK(why->by == std::string("sequence transform ") + transform);
    CHECK(why->because.find(std::string("use ") + (transform[0] == 'h' ? "haar" : "dct")) != std::string::npos);
  }
  s.quantization.sequence.transform = "haar";
  CHECK_FALSE(refusal(s, schema).has_value());
}

TEST_CASE("shapes of the published diffusion transformers have the weights that the specification counts") {
  const ModelShape p = shape_of(pixart_sigma());
  CHECK(p.block_weights() == 21233664);
  CHECK(p.all_weights() == 610856096);
  CHECK(p.token_pixels == 16);
  CHECK(p.steps == 20);
  const ModelShape s = shape_of(sana());
  CHECK(s.block_weights() == 67737600 + 2 * 2240 * 2240);
  CHECK(s.token_pixels == 32);
  CHECK(s.linear_attention);
  const ModelShape d = small_dit();
  CHECK(d.makes_images());
  CHECK(d.block_weights() == 12 * 32 * 32);
  CHECK(d.modulation == 6 * 32 * 32);
  CHECK(d.steps == 50);
  CHECK(d.token_pixels == 2);
  CHECK_FALSE(ModelShape().makes_images());
}

TEST_CASE("a denoising step is its products, its attention, its rows and its quantized values, twice where guided") {
  TrialSpec s = image_trial();
  const ModelShape m = small_dit();
  const double n = 2 * 64;  // both samples
  const double products = 2 * n * 2 * m.block_weights() / 1e9;
  const double attention = 4 * 2 * 2 * 32.0 * 64 * 64 / 1e9;
  const double rows = 2 * n * (4 * 32 + 32 + 32 + 128) * 1e-9;
  const double quantized = 2 * n * (3 * 32 + 128) * 5e-9;  // haar2d as haar
  CHECK(run_seconds(s, m) == Approx(products + attention + rows + quantized));
  s.images.guidance = 1;
  CHECK(run_seconds(s, m) == Approx((products + attention + rows + quantized) / 2));
  s.images.guidance = 3;
  s.quantization.sequence.transform = "dct2d";
  CHECK(run_seconds(s, m) == Approx(products + attention + rows + quantized * 7 / 5));
  s.evaluate.push_back("slot_error");
  CHECK(run_seconds(s, m) == Approx(products + attention + rows + quantized * 10 / 5));
  // Twice as wide: twice the rows, and each sees twice as many.
  TrialSpec wide = image_trial();
  wide.images.width = 32;
  CHECK(run_seconds(wide, m) == Approx(2 * products + 4 * attention + 2 * rows + 2 * quantized));
  // A SANA attends at a cost that does not grow with the tokens a row sees, and its text is quantized on request.
  TrialSpec text = image_trial();
  const ModelShape large = shape_of(sana());
  const double plain = run_seconds(text, large);
  text.quantization.activations.text = true;
  CHECK(run_seconds(text, large) - plain == Approx(20 * 300.0 * 2 * 2240 * 2e-9).epsilon(1e-6));
}

TEST_CASE("the full-precision model makes the images once, the quantized one takes their steps, or makes them too") {
  const ModelShape m = small_dit();
  const SizeOf size = [&](const TrialSpec&) { return TrialSize{m, 0, 0}; };
  Machine machine;
  machine.speed = round_speed();
  machine.available_bytes = 16e9;
  const auto seconds = [&](const std::vector<TrialSpec>& specs) {
    Plan plan;
    for (const TrialSpec& s : specs) plan.trials.push_back(planned(s));
    return estimate(plan, {}, size, image_catalog(), machine).trials;
  };
  TrialSpec traced = image_trial();
  TrialSpec made = traced;
  made.quantization.sequence.transform = "identity";
  made.evaluate = {"noise_sqnr", "image_sqnr"};
  TrialSpec fewer = made;
  fewer.images.count = 4;
  const std::vector<TrialEstimate> trials = seconds({traced, made, fewer});
  const double load = m.all_weights() * 2e-9;
  TrialSpec plain = traced;
  plain.quantization.activations.bits = 16;
  const double pass = run_seconds(plain, m);
  CHECK(part(trials[0].seconds, "reference") == Approx(load + 80 * pass));  // 8 images of 10 steps
  CHECK(part(trials[1].seconds, "reference") == -1);
  CHECK(part(trials[2].seconds, "reference") == Approx(load + 40 * pass));
  CHECK(part(trials[0].seconds, "run") == Approx(20 * run_seconds(traced, m)));       // 2 images
  CHECK(part(trials[1].seconds, "run") == Approx((20 + 80) * run_seconds(made, m)));  // and 8 of its own
  CHECK(part(trials[2].seconds, "run") == Approx((20 + 40) * run_seconds(fewer, m)));
  CHECK(part(trials[0].seconds, "calibrate") == -1);

  // Four calibration items an image, whose steps are made for whoever asks first.
  TrialSpec smooth = traced;
  smooth.quantization.method = "smoothquant";
  smooth.calibration.samples = 6;
  TrialSpec again = smooth;
  again.quantization.sequence.transform = "dct2d";
  TrialSpec svd = smooth;
  svd.quantization.method = "svdquant";
  const std::vector<TrialEstimate> calibrated = seconds({smooth, again, svd});
  CHECK(part(calibrated[0].seconds, "reference") == Approx(load + (80 + 2 * 10) * pass));
  CHECK(part(calibrated[0].seconds, "calibrate") == Approx(6 * pass));
  CHECK(part(calibrated[1].seconds, "reference") == -1);
  CHECK(part(calibrated[1].seconds, "calibrate") == -1);
  CHECK(part(calibrated[2].seconds, "calibrate") == -1);
  CHECK(part(calibrated[2].seconds, "prepare") > part(calibrated[0].seconds, "prepare") + 12 * pass);
}

TEST_CASE("methods cost what they leave online and what they do beforehand") {
  const ModelShape m = small_dit();
  TrialSpec s = image_trial();
  const auto of = [&](const char* method, const char* phase) {
    s.quantization.method = method;
    return part(trial_seconds(s, image_catalog(), m, {}, round_speed()), phase);
  };
  const double layers = 2, n = 128, inputs = 3 * 32 + 128, run = of("rtn", "run");
  CHECK(of("quarot", "run") - run == Approx(layers * n * inputs * 1e-9));
  CHECK(of("viditq", "run") - run == Approx(layers * n * inputs * 1e-9));
  CHECK(of("hadanorm", "run") - run == Approx(layers * n * inputs * 3e-9));
  CHECK(of("svdquant", "run") - run == Approx(layers * n * (2 * 32 * (128 + 64 + 160 + 160) / 1e9 + inputs * 1e-9)));
  s.quantization.activations.shift = "calibrated";
  CHECK(of("rtn", "run") - run == Approx(layers * n * inputs * 2e-9));
  s.quantization.activations.shift = "none";
  const double prepare = of("rtn", "prepare");
  CHECK(of("quarot", "prepare") - prepare ==
        Approx(layers * 2 * (32 * 96.0 * 32 + 32 * 32.0 * 32 + 32 * 128.0 * 32 + 128 * 32.0 * 128) / 1e9));
  CHECK(of("svdquant", "prepare") > of("viditq", "prepare"));
  CHECK(of("viditq", "prepare") > of("quarot", "prepare"));
}

TEST_CASE("memory of images: all weights or one block, rows of both samples, texts of the prompts") {
  TrialSpec s = image_trial();
  const ModelShape m = shape_of(pixart_sigma());
  const Parts whole = trial_memory(s, image_catalog(), m, 1, false, 1e8);
  CHECK(part(whole, "weights") == Approx(4 * 610856096.0));
  CHECK(part(whole, "rows at work") == Approx(4 * 8192 * (1152 + 1152 + 4608.0 + 4608)));
  CHECK(part(whole, "conditions") == Approx(4 * 8 * 2 * 300 * 4096.0));
  CHECK(sum(whole) < 6e9);
  const Parts streamed = trial_memory(s, image_catalog(), m, 1, true, 1e8);
  CHECK(part(streamed, "one block") == Approx(4 * 21233664.0));
  CHECK(part(streamed, "hidden rows") == Approx(2 * 4 * 8192 * 1152.0));
  CHECK(sum(streamed) < 2.5e9);
  // A basis of 4096 x 4096 for each of six slots a layer, within the budget.
  s.quantization.sequence.transform = "klt";
  CHECK(part(trial_memory(s, image_catalog(), m, 1, false, 1e8), "bases") ==
        Approx(512.0 * (1 << 20) + 4 * 8 * 4096.0 * 4096));
  s.quantization.method = "svdquant";
  s.calibration.samples = 16;
  CHECK(part(trial_memory(s, image_catalog(), m, 1, false, 1e8), "block inputs") == Approx(2 * 4 * 16 * 8192 * 1152.0));
}

TEST_CASE("the plan of the trained checkpoint counts its parameters and its tokens") {
  const fs::path folder = fs::path(STAMP_SOURCE_DIR) / "results/cifar10_dit/checkpoint/transformer";
  if (!fs::exists(folder)) {
    WARN("no checkpoint: " << folder);
    return;
  }
  const auto checkpoint = open_checkpoint(folder.string());
  const Json description = describe_model(*checkpoint);
  const ModelShape m = shape_of(description);
  CHECK(m.tokens == 256);
  CHECK(m.token_pixels == 2);
  CHECK(m.all_weights() == description["parameters"].get<double>());
  CHECK(m.outside < 0.5 * m.all_weights());
}
