// What holds for every diffusion transformer, whatever its weights.
#include <cstdlib>
#include <limits>

#include "base/error.h"
#include "support/scratch.h"
#include "unit/diffusion/diffusion_fixture.h"
#include "unit/models/fake_checkpoint.h"

using namespace stamp;
using test::gap;

namespace {

bool mentions(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

at::Tensor noise(Network& network, const WorkItem& item) {
  return network.run(item).named.at("noise");
}

void equal(const at::Tensor& a, const at::Tensor& b) {
  REQUIRE(a.numel() == b.numel());
  CHECK(std::equal(a.const_data_ptr<float>(), a.const_data_ptr<float>() + a.numel(), b.const_data_ptr<float>()));
}

template <class Use>
void with_fixtures(Use&& use) {
  for (const char* name : test::tiny_diffusers) {
    const auto source = test::open_diffusion(name);
    if (!source) return;
    INFO(name);
    use(source);
  }
}

}  // namespace

TEST_CASE("a batch of two is two single runs") {
  with_fixtures([](const std::shared_ptr<const DiffusionSource>& source) {
    const auto network = make_diffusion_network(source);
    const at::Tensor both = noise(*network, test::item_of(source->checkpoint()));
    CHECK(both.size(1) == source->config().out_channels);
    // Other numbers of rows may go through the GEMM library in other blocks: float32 rounding, within what
    // specification models 17.4 allows a block.
    for (std::int64_t b = 0; b < 2; ++b)
      CHECK(gap(noise(*network, test::item_of(source->checkpoint(), b)), both.narrow(0, b, 1)) <= 1e-5);
  });
}

TEST_CASE("blocks that come and go give what a network in memory gives, bit for bit") {
  with_fixtures([](const std::shared_ptr<const DiffusionSource>& source) {
    const WorkItem item = test::item_of(source->checkpoint());
    const auto whole = make_diffusion_network(source), streamed = make_diffusion_network(source, false);
    at::Tensor rows = streamed->enter(item);
    for (std::size_t i = 0; i < streamed->blocks(); ++i) {
      streamed->load(i);
      streamed->load(i);
      streamed->forward(i, rows, item);
      streamed->release(i);
      for (LinearSite* site : streamed->block_sites(i))
        for (const LinearWeight& w : site->weights()) CHECK_FALSE(w.weight.defined());
    }
    const at::Tensor expected = noise(*whole, item);
    equal(streamed->leave(rows, item).named.at("noise"), expected);
    for (std::size_t i = 0; i < whole->blocks(); ++i) {
      whole->block_sites(i)[0]->weights()[0].weight.zero_();
      whole->release(i);
      whole->load(i);
    }
    equal(noise(*whole, item), expected);
  });
}

TEST_CASE("padding in the text leaves the output, and what is not padding moves it") {
  with_fixtures([](const std::shared_ptr<const DiffusionSource>& source) {
    if (!source->config().has_text()) return;
    const auto network = make_diffusion_network(source);
    WorkItem item = test::item_of(source->checkpoint());
    const at::Tensor expected = noise(*network, item).clone();
    const at::Tensor text = item.inputs.at("text"), mask = item.inputs.at("text_mask");
    const std::int64_t tokens = text.size(1), width = text.size(2);
    const auto changed = [&](bool padding) {
      at::Tensor out = text.clone();
      for (std::int64_t i = 0; i < 2 * tokens; ++i)
        if ((mask.const_data_ptr<std::int64_t>()[i] == 0) == padding)
          for (std::int64_t j = 0; j < width; ++j) out.data_ptr<float>()[i * width + j] += 3;
      return out;
    };
    item.inputs["text"] = changed(true);
    equal(noise(*network, item), expected);
    item.inputs["text"] = changed(false);
    CHECK(gap(noise(*network, item), expected) > 1e-3);

    // Padding cut away instead of masked.
    for (std::int64_t b = 0; b < 2; ++b) {
      WorkItem one = test::item_of(source->checkpoint(), b);
      const std::int64_t* kept = one.inputs.at("text_mask").const_data_ptr<std::int64_t>();
      std::int64_t count = 0;
      while (count < tokens && kept[count] != 0) ++count;
      if (std::any_of(kept + count, kept + tokens, [](std::int64_t k) { return k != 0; })) continue;
      const at::Tensor masked = noise(*network, one).clone();
      one.inputs["text"] = one.inputs.at("text").narrow(1, 0, count).contiguous();
      one.inputs.erase("text_mask");
      equal(noise(*network, one), masked);
    }
  });
}

TEST_CASE("a text that changed in place, or another timestep in the same tensor, is seen") {
  const auto source = test::open_diffusion("pixart_tiny");
  if (!source) return;
  const auto network = make_diffusion_network(source);
  WorkItem item = test::item_of(source->checkpoint());
  const at::Tensor before = noise(*network, item).clone();
  item.inputs.at("timestep").fill_(400.0);
  const at::Tensor later = noise(*network, item).clone();
  CHECK(gap(later, before) > 1e-3);
  item.inputs.at("text").zero_();
  CHECK(gap(noise(*network, item), later) > 1e-3);
}

TEST_CASE("slots see the tokens of the image, or of the text, in segments with the width of the grid") {
  with_fixtures([](const std::shared_ptr<const DiffusionSource>& source) {
    const auto network = make_diffusion_network(source);
    const WorkItem item = test::item_of(source->checkpoint());
    const ImageShape shape = image_shape(item, source->config());
    const Segments segments = image_segments(item, shape);
    REQUIRE(segments.size() == 2);
    CHECK(segments[1].rows == shape.tokens());
    CHECK(segments[1].width == shape.columns);
    std::int64_t text = 0;
    if (source->config().has_text())
      for (const Segment& s : text_segments(item, source->config(), 2)) text += s.rows;
    std::vector<std::string> seen;
    for (LinearSite* site : network->linear_sites())
      site->set_observer([&](const SlotInfo& slot, ConstMatrixView x) {
        seen.push_back(slot.name);
        CHECK(x.rows == (slot.rows == SlotRows::context ? text : 2 * shape.tokens()));
        CHECK(x.cols == slot.features);
      });
    noise(*network, item);
    std::vector<std::string> expected;
    for (const SlotInfo& slot : diffusion_slots(source->config())) expected.push_back(slot.name);
    CHECK(seen == expected);
  });
}

TEST_CASE("DiT's blocks embed for themselves where their embedders differ, and share where they do not") {
  // The fixture's blocks differ; with block 0's embedder everywhere the output moves.
  const auto source = test::open_diffusion("dit_tiny");
  if (!source) return;
  const std::string a = "transformer_blocks.0.norm1.emb.", b = "transformer_blocks.1.norm1.emb.";
  CHECK_FALSE(source->same(a + "timestep_embedder.linear_1.weight", b + "timestep_embedder.linear_1.weight"));
  class Shared : public Checkpoint {
   public:
    Shared(std::shared_ptr<const Checkpoint> of, const std::string& from, const std::string& to)
        : of_(std::move(of)), tensors_(of_->tensors()) {
      for (TensorInfo& tensor : tensors_)
        if (tensor.name.rfind(to, 0) == 0) tensor.data = of_->at(from + tensor.name.substr(to.size())).data;
    }
    std::string format() const override { return of_->format(); }
    std::string architecture() const override { return of_->architecture(); }
    const Json& config() const override { return of_->config(); }
    const std::vector<TensorInfo>& tensors() const override { return tensors_; }
    std::string path() const override { return of_->path(); }
    std::vector<std::string> files() const override { return of_->files(); }

   private:
    std::shared_ptr<const Checkpoint> of_;
    std::vector<TensorInfo> tensors_;
  };
  const auto checkpoint = test::open_fixture("dit_tiny");
  const auto shared =
      std::make_shared<DiffusionSource>(std::make_shared<Shared>(checkpoint, a, b), test::class_of("dit_tiny"));
  CHECK(shared->same(a + "class_embedder.embedding_table.weight", b + "class_embedder.embedding_table.weight"));
  const WorkItem item = test::item_of(*checkpoint);
  CHECK(gap(noise(*make_diffusion_network(shared), item), noise(*make_diffusion_network(source), item)) > 1e-3);
}

TEST_CASE("inputs that cannot be run say what was given and what is allowed") {
  const auto source = test::open_diffusion("pixart_tiny");
  if (!source) return;
  const auto network = make_diffusion_network(source);
  const WorkItem good = test::item_of(source->checkpoint());
  const auto changed = [&](const char* name, const at::Tensor& value) {
    WorkItem item = good;
    item.inputs[name] = value;
    return item;
  };
  const auto error = [&](const WorkItem& item) { return test::data_error([&] { network->run(item); }); };
  const at::Tensor latent = good.inputs.at("latent");
  CHECK(mentions(error(changed("latent", latent.narrow(2, 0, 11).contiguous())), "11 x 20"));
  CHECK(mentions(error(changed("latent", latent.narrow(3, 0, 19).contiguous())), "patches of 2 x 2"));
  CHECK(mentions(error(changed("text", good.inputs.at("text").narrow(2, 0, 19).contiguous())), "19 channels"));
  CHECK(mentions(error(changed("text_mask", at::Tensor(good.inputs.at("text_mask").clone()).zero_())), "keeps none"));
  CHECK_THROWS_AS(network->run(changed("timestep", at::Tensor(good.inputs.at("timestep").narrow(0, 0, 1)))),
                  std::logic_error);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    at::Tensor broken = latent.clone();
    broken.data_ptr<float>()[7] = bad;
    try {
      network->run(changed("latent", broken));
      FAIL("a latent that is no number was accepted");
    } catch (const TrialError& e) {
      CHECK(e.kind() == "non_finite");
      CHECK(mentions(e.what(), "element 7"));
    }
  }

  const auto dit = test::open_diffusion("dit_tiny");
  const auto of_classes = make_diffusion_network(dit);
  WorkItem item = test::item_of(dit->checkpoint());
  item.inputs["class"] = test::integers({2}, {3, 11});
  CHECK(mentions(test::data_error([&] { of_classes->run(item); }), "class 11 of sample 1"));
  item = test::item_of(dit->checkpoint());
  item.inputs["latent"] = item.inputs.at("latent").narrow(2, 0, 8).contiguous();
  CHECK(mentions(test::data_error([&] { of_classes->run(item); }), "8 x 16 is not square"));
}

TEST_CASE("a diffusers pipeline's folder is opened at its transformer, in any variant") {
  const std::string name = "pixart_tiny";
  const auto source = test::open_diffusion(name);
  if (!source) return;
  for (const char* file : {"diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors"}) {
    const test::Scratch scratch;
    const std::filesystem::path folder = scratch.path() / "transformer";
    std::filesystem::create_directory(folder);
    std::ofstream(scratch.path() / "model_index.json") << R"({"_class_name": "PixArtSigmaPipeline"})";
    // Beside a file that holds its configuration itself, the folder's is what counts.
    Json config = source->checkpoint().config();
    config["_class_name"] = test::class_of(name);
    std::ofstream(folder / "config.json") << config.dump();
    std::filesystem::copy_file(test::fixture_path(name + ".safetensors"), folder / file);
    const std::unique_ptr<Model> model = open_model({scratch.path().string(), "tiny"});
    CHECK(model->description().at("architecture") == test::class_of(name));
    CHECK(model->description().at("slots").size() == 14);
    CHECK(model->description().at("name") == "tiny");
    const WorkItem item = test::item_of(source->checkpoint());
    const std::unique_ptr<Network> network = model->build();
    equal(noise(*network, item), noise(*make_diffusion_network(source), item));
    CHECK_THROWS_AS(model->workload(DataSpec{}), TrialError);
  }
}
