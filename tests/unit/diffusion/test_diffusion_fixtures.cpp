// Forward passes of the tiny diffusion transformers against diffusers (specification models 17).
#include "unit/diffusion/diffusion_fixture.h"

using namespace stamp;

namespace {

struct Found {
  std::string what;
  double gap;
};

// tokens x channels of a stored NCHW tensor, sample by sample.
std::vector<float> as_rows(const std::vector<float>& values, const std::vector<std::int64_t>& shape) {
  std::vector<float> out(values.size());
  const std::int64_t channels = shape[1], tokens = shape[2] * shape[3];
  for (std::int64_t b = 0; b < shape[0]; ++b)
    for (std::int64_t c = 0; c < channels; ++c)
      for (std::int64_t n = 0; n < tokens; ++n)
        out[static_cast<std::size_t>((b * tokens + n) * channels + c)] =
            values[static_cast<std::size_t>((b * channels + c) * tokens + n)];
  return out;
}

// Everything that the fixture has a reference for.
std::vector<Found> compare(const std::shared_ptr<const DiffusionSource>& source, bool packed) {
  const Checkpoint& c = source->checkpoint();
  const auto network = make_diffusion_network(source);
  if (packed) static_cast<Network&>(*network).pack();
  const WorkItem item = test::item_of(c);
  std::vector<Found> out;
  const auto check = [&](const std::string& name, const at::Tensor& ours) {
    if (!c.find(name)) return;
    const TensorInfo& tensor = c.at(name);
    const std::vector<float> reference = test::floats_of(c, name);
    out.push_back(
        {name, test::gap(ours, tensor.shape.size() == 4 && name != "out.sample" ? as_rows(reference, tensor.shape)
                                                                                : reference)});
  };
  at::Tensor rows = network->enter(item);
  check("out.pos_embed", rows);
  check("out.patch_embed", rows);
  const std::int64_t samples = item.inputs.at("latent").size(0);
  const at::Tensor modulation = network->conditioner().time(item, samples).modulation;
  check("out.adaln_single", modulation);
  check("out.time_embed", modulation);
  for (std::size_t i = 0; i < network->blocks(); ++i) {
    const std::string name = "out.transformer_blocks." + std::to_string(i);
    const std::vector<LinearSite*> sites = network->block_sites(i);
    BlockState state;
    state.residual = rows;
    for (std::size_t k = 0; k <= sites.size(); ++k) {
      network->step(i, k, state, item);
      if (k == sites.size()) break;
      const std::string reader = sites[k]->weights()[0].name;
      const auto is = [&](const std::string& end) { return reader == "transformer_blocks." + std::to_string(i) + end; };
      const auto branch = [&] { return sites[k]->multiply(state.pending)[0]; };
      if (is(".attn1.to_out.0")) check(name + ".attn1", branch());
      if (is(".attn2.to_out.0")) check(name + ".attn2", branch());
      if (is(".ff.net.2") || is(".ff.conv_point")) check(name + ".ff", branch());
    }
    CHECK(state.held.empty());
    CHECK_FALSE(state.pending.defined());
    rows = state.residual;
    check(name, rows);
  }
  check("out.sample", network->leave(rows, item).named.at("noise"));
  return out;
}

}  // namespace

TEST_CASE("tiny diffusion transformers agree with diffusers block by block") {
  for (const char* name : test::tiny_diffusers) {
    const auto source = test::open_diffusion(name);
    if (!source) return;
    double blocks = 0, sample = 0;
    for (const bool packed : {false, true})
      for (const Found& found : compare(source, packed)) {
        INFO(name << (packed ? " packed " : " plain ") << found.what << " " << found.gap);
        // Specification models 17.4: 1e-5 of the largest value after every block, 1e-4 for the output.
        CHECK(found.gap <= (found.what == "out.sample" ? 1e-4 : 1e-5));
        (found.what == "out.sample" ? sample : blocks) =
            std::max(found.what == "out.sample" ? sample : blocks, found.gap);
      }
    CHECK(sample > 0);
    if (std::getenv("STAMP_SHOW_GAPS")) WARN(name << ": parts " << blocks << ", output " << sample);
  }
}

TEST_CASE("what the text becomes is the reference's, without its padding") {
  for (const char* name : test::tiny_diffusers) {
    const auto source = test::open_diffusion(name);
    if (!source) return;
    if (!source->config().has_text()) continue;
    const Checkpoint& c = source->checkpoint();
    const std::string stored = c.find("out.caption_norm") ? "out.caption_norm" : "out.caption_projection";
    const std::vector<float> all = test::floats_of(c, stored);
    const std::vector<std::int64_t> mask = test::ids_of(c, "in.mask");
    const auto width = static_cast<std::size_t>(source->config().width());
    std::vector<float> kept;
    for (std::size_t i = 0; i < mask.size(); ++i)
      if (mask[i])
        kept.insert(kept.end(), all.begin() + static_cast<std::ptrdiff_t>(i * width),
                    all.begin() + static_cast<std::ptrdiff_t>((i + 1) * width));
    const auto network = make_diffusion_network(source);
    INFO(name);
    CHECK(test::gap(network->conditioner().context(test::item_of(c), 2), kept) <= 1e-5);
  }
}

TEST_CASE("each setting of a configuration moves the output: the comparisons above can fail") {
  // The same tensors under another configuration.
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
  const auto moved = [](const char* name, const char* key, const Json& value) {
    const auto checkpoint = test::open_fixture(name);
    if (!checkpoint) return 1.0;
    Json config = checkpoint->config();
    config[key] = value;
    const auto source =
        std::make_shared<DiffusionSource>(std::make_shared<Respelled>(checkpoint, config), test::class_of(name));
    for (const Found& found : compare(source, false))
      if (found.what == "out.sample") return found.gap;
    return 0.0;
  };
  CHECK(moved("pixart_tiny", "interpolation_scale", 1) > 1e-3);
  CHECK(moved("pixart_tiny", "sample_size", 32) > 1e-3);
  CHECK(moved("pixart_tiny", "norm_eps", 0.1) > 1e-3);
  CHECK(moved("dit_tiny", "norm_eps", 0.1) > 1e-3);
  CHECK(moved("dit_tiny", "sample_size", 32) > 1e-3);
  CHECK(moved("sana_tiny_posembed", "interpolation_scale", nullptr) > 1e-3);
  CHECK(moved("sana_tiny", "interpolation_scale", 1.0) > 1e-3);
}
