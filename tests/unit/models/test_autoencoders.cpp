// Image autoencoders against the references of tiny checkpoints (specification models 17).
#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>

#include <cmath>

#include "base/error.h"
#include "models/vae/autoencoder.h"
#include "models/vae/autoencoder_kl.h"
#include "unit/models/fixtures.h"

using namespace stamp;

namespace {

at::Tensor tensor_of(const Checkpoint& checkpoint, const std::string& name) {
  const TensorInfo& info = checkpoint.at(name);
  at::Tensor out = at::empty(info.shape, at::TensorOptions(at::kFloat));
  read_rows(info, 0, info.rows(), out.data_ptr<float>());
  return out;
}

// Largest difference as a share of the largest number of the reference; NaN counts as the largest.
double gap(const at::Tensor& ours, const at::Tensor& reference) {
  REQUIRE(ours.sizes() == reference.sizes());
  REQUIRE(ours.is_contiguous());
  double top = 0, scale = 0;
  for (std::int64_t i = 0; i < ours.numel(); ++i) {
    const double want = reference.const_data_ptr<float>()[i], d = std::abs(ours.const_data_ptr<float>()[i] - want);
    if (!(d <= top)) top = d;
    scale = std::max(scale, std::abs(want));
  }
  return top / scale;
}

constexpr const char* tiny_dc[] = {"dcae_tiny_interp", "dcae_tiny_shuffle"};

}  // namespace

TEST_CASE("AutoencoderKL decodes and encodes as the reference, within 1e-5 of the largest value") {
  const auto checkpoint = test::open_fixture("vaekl_tiny");
  if (!checkpoint) return;
  AutoencoderKl autoencoder(checkpoint);
  CHECK(autoencoder.scale() == 4);
  CHECK(autoencoder.latent_channels() == 4);
  const double decoded = gap(autoencoder.decode(tensor_of(*checkpoint, "in.z")), tensor_of(*checkpoint, "out.decode"));
  CHECK(decoded < 1e-5);
  const at::Tensor image = tensor_of(*checkpoint, "in.x"), moments = tensor_of(*checkpoint, "out.encode_moments");
  const at::Tensor ours =
      at::cat({autoencoder.moments(image.narrow(0, 0, 1)), autoencoder.moments(image.narrow(0, 1, 1))}, 0);
  CHECK(gap(ours, moments) < 1e-5);
  // The code is the mean.
  CHECK(gap(autoencoder.encode(image), moments.narrow(1, 0, 4).contiguous()) < 1e-5);
}

TEST_CASE("AutoencoderDC decodes and encodes as the reference, within 1e-5 of the largest value") {
  for (const char* name : tiny_dc) {
    const auto checkpoint = test::open_fixture(name);
    if (!checkpoint) return;
    INFO(name);
    const auto autoencoder = open_autoencoder(checkpoint, "AutoencoderDC");
    CHECK(autoencoder->scale() == 4);
    const auto check = [&](const char* in, const char* out) {
      return gap(autoencoder->decode(tensor_of(*checkpoint, in)), tensor_of(*checkpoint, out));
    };
    CHECK(check("in.z", "out.decode") < 1e-5);
    CHECK(check("in.z_small", "out.decode_small") < 1e-5);  // few pixels: attention by scores
    CHECK(gap(autoencoder->encode(tensor_of(*checkpoint, "in.x")), tensor_of(*checkpoint, "out.encode")) < 1e-5);
  }
}

TEST_CASE("Bands of rows change nothing but rounding") {
  for (const char* name : {"vaekl_tiny", "dcae_tiny_interp", "dcae_tiny_shuffle"}) {
    const auto checkpoint = test::open_fixture(name);
    if (!checkpoint) return;
    INFO(name);
    const auto autoencoder =
        open_autoencoder(checkpoint, std::string(name) == "vaekl_tiny" ? "AutoencoderKL" : "AutoencoderDC");
    const at::Tensor code = tensor_of(*checkpoint, "in.z"), image = tensor_of(*checkpoint, "in.x");
    const at::Tensor decoded = autoencoder->decode(code), encoded = autoencoder->encode(image);
    for (const std::int64_t floats : {1, 300, 1500, 4000}) {
      autoencoder->set_band_floats(floats);
      CHECK(gap(autoencoder->decode(code), decoded) < 1e-6);
      CHECK(gap(autoencoder->encode(image), encoded) < 1e-6);
    }
  }
}

TEST_CASE("A latent is the shifted and scaled code") {
  const auto checkpoint = test::open_fixture("vaekl_tiny");
  if (!checkpoint) return;
  const auto autoencoder = open_autoencoder(checkpoint, "AutoencoderKL");
  CHECK(autoencoder->scaling_factor() == 0.18215);
  const at::Tensor image = tensor_of(*checkpoint, "in.x");
  const at::Tensor code = autoencoder->encode(image), latent = autoencoder->encode_latent(image);
  CHECK(gap(latent.div(0.18215), code) < 1e-6);
  CHECK(gap(autoencoder->decode_latent(latent), autoencoder->decode(code)) < 1e-5);
}

TEST_CASE("Weights that were released are read again") {
  const auto checkpoint = test::open_fixture("dcae_tiny_interp");
  if (!checkpoint) return;
  const auto autoencoder = open_autoencoder(checkpoint, "AutoencoderDC");
  const at::Tensor code = tensor_of(*checkpoint, "in.z"), before = autoencoder->decode(code);
  autoencoder->release();
  CHECK(gap(autoencoder->decode(code), before) == 0);
}

TEST_CASE("Images that do not divide, other shapes and unknown classes are refused") {
  const auto checkpoint = test::open_fixture("vaekl_tiny");
  if (!checkpoint) return;
  const auto autoencoder = open_autoencoder(checkpoint, "AutoencoderKL");
  const auto zeros = [](std::vector<std::int64_t> shape) {
    return at::empty(shape, at::TensorOptions(at::kFloat)).zero_();
  };
  CHECK_THROWS_AS(autoencoder->encode(zeros({1, 3, 24, 42})), TrialError);
  CHECK_THROWS_AS(autoencoder->encode(zeros({1, 4, 24, 40})), std::logic_error);
  CHECK_THROWS_AS(autoencoder->decode(zeros({4, 6, 10})), std::logic_error);
  CHECK_THROWS_AS(open_autoencoder(checkpoint, "AutoencoderKl"), DataError);
  CHECK_THROWS_AS(open_autoencoder(checkpoint), DataError);  // its configuration names no class
}
