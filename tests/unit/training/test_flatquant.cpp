// FlatQuant's pieces: Kronecker products and learned matrices against LibTorch's own operations, one block's loss and
// gradients against an eager computation (golden values of scripts/reference/flatquant.py --golden), training.
#include <ATen/ops/kron.h>
#include <ATen/ops/linalg_inv.h>
#include <ATen/ops/matmul.h>

#include <map>

#include "base/error.h"
#include "support/catch.h"
#include "training/kronecker.h"
#include "unit/training/flatquant_case.h"

using namespace stamp;
using namespace stamp::training;

namespace {

at::Tensor identity(std::int64_t n) {
  return at::eye(n, at::TensorOptions(at::kFloat));
}

TrainingRows rows_of(const at::Tensor& x) {  // b x s x h
  TrainingRows rows;
  for (std::int64_t i = 0; i < x.size(0); ++i) {
    rows.inputs.push_back(x.select(0, i).contiguous());
    rows.starts.push_back(true);
  }
  return rows;
}

FlatQuantOptions quick() {
  FlatQuantOptions o;
  o.product = Product::float32;
  o.epochs = 12;
  o.batch = 4;
  return o;
}

}  // namespace

TEST_CASE("Kronecker products and their gradients are those of the dense matrix") {
  for (const auto& [a, b] :
       std::vector<std::pair<std::int64_t, std::int64_t>>{{1, 5}, {3, 6}, {24, 24}, {9, 64}, {20, 17}})
    for (const int used : {1, 2, 3}) {  // bit 0: left, bit 1: right
      INFO(a << " x " << b << ", factors " << used);
      at::Tensor leaves[2][3];
      for (auto& set : leaves) {
        set[0] = test::leaf(test::gaussian({3, 40, a * b}, 1));
        if (used & 1) set[1] = test::leaf(test::gaussian({a, a}, 2));
        if (used & 2) set[2] = test::leaf(test::gaussian({b, b}, 3));
      }
      const at::Tensor weights = test::gaussian({3, 40, a * b}, 4);
      const at::Tensor got = kronecker_product(leaves[0][0], leaves[0][1], leaves[0][2]);
      const at::Tensor dense = at::kron(used & 1 ? leaves[1][1] : identity(a), used & 2 ? leaves[1][2] : identity(b));
      const at::Tensor expected = at::matmul(leaves[1][0], dense);
      // Sums of up to 576 float32 products, in two steps instead of one.
      CHECK(test::relative_distance(got, expected) < 1e-5);
      (got * weights).sum().backward();
      (expected * weights).sum().backward();
      for (int i = 0; i < 3; ++i)
        if (leaves[0][i].defined()) CHECK(test::relative_distance(leaves[0][i].grad(), leaves[1][i].grad()) < 3e-5);
    }
}

TEST_CASE("sizes of Kronecker factors") {
  // Specification methods 8.1, and widths that are 2 mod 4, odd, prime or 4 mod 8.
  const std::vector<std::array<std::int64_t, 3>> known = {
      {2048, 32, 64},    {3072, 48, 64},    {4096, 64, 64},    {5120, 64, 80},    {8192, 64, 128}, {11008, 86, 128},
      {13824, 108, 128}, {14336, 112, 128}, {18944, 128, 148}, {28672, 128, 224}, {1152, 32, 36},  {4608, 64, 72},
      {2240, 40, 56},    {5600, 70, 80},    {576, 24, 24},     {1536, 32, 48},    {12, 2, 6},      {18, 3, 6},
      {6, 2, 3},         {2, 1, 2},         {1, 1, 1},         {7, 1, 7},         {45, 5, 9},      {9362, 62, 151}};
  for (const auto& [n, left, right] : known) {
    const KroneckerSizes s = kronecker_sizes(n);
    INFO(n);
    CHECK(s.left == left);
    CHECK(s.right == right);
  }
  for (std::int64_t n = 1; n < 3000; ++n) CHECK(kronecker_sizes(n).left * kronecker_sizes(n).right == n);
}

TEST_CASE("learned matrices start orthogonal, and their inverse belongs to them after any step") {
  for (const Parametrization p : {Parametrization::svd, Parametrization::direct_inv}) {
    const LearnedMatrix m(14, p, 3, "test"), again(14, p, 3, "test"), other(14, p, 4, "test");
    const LearnedMatrix::Pair start = m.exact();
    const at::Tensor one = at::eye(14, at::TensorOptions(at::kDouble));
    // A random orthogonal matrix whose factors are rounded to float32 once (direct_inv).
    CHECK(test::largest_of(at::matmul(start.matrix, start.matrix.t()) - one) < 1e-6);
    CHECK(test::largest_of(again.exact().matrix - start.matrix) == 0);
    CHECK(test::largest_of(other.exact().matrix - start.matrix) > 0.1);
    std::uint64_t seed = 1;
    for (at::Tensor parameter : m.parameters()) {  // some step
      const at::Tensor step = test::gaussian(parameter.sizes().vec(), seed++, 0.3);
      float* values = parameter.data_ptr<float>();
      for (std::int64_t i = 0; i < parameter.numel(); ++i) values[i] += step.const_data_ptr<float>()[i];
    }
    const LearnedMatrix::Pair moved = m.exact(), single = m.current();
    CHECK(test::largest_of(moved.matrix - start.matrix) > 0.1);
    CHECK(test::largest_of(at::matmul(moved.matrix, moved.inverse_transpose.t()) - one) < 1e-10);
    CHECK(test::relative_distance(single.matrix.to(at::kDouble), moved.matrix) < 1e-5);
    CHECK(test::relative_distance(single.inverse_transpose.to(at::kDouble), moved.inverse_transpose) < 1e-4);
  }
  const at::Tensor q = cayley_map(test::gaussian({9, 9}, 5));
  CHECK(test::largest_of(at::matmul(q, q.t()) - identity(9)) < 1e-5);
  CHECK(test::largest_of(cayley_map(identity(9) * 0) - identity(9)) == 0);
}

TEST_CASE("a quantized block's loss and gradients are those of an eager computation") {
  struct Golden {
    double norm, first;  // of the gradient: its length and its first entry
  };
  const std::map<std::string, Golden> golden = {
      {"qkv_left", {1.39731, 0.230868}},
      {"qkv_left_inverse", {1.56789, 0.258764}},
      {"qkv_right", {2.42801, 0.563946}},
      {"qkv_right_inverse", {1.84877, 0.247041}},
      {"qkv_diagonal", {0.372627, -0.114651}},
      {"gate_up_left", {2.57628, 1.98975}},
      {"gate_up_left_inverse", {2.71341, 2.18694}},
      {"gate_up_right", {3.46713, 0.222626}},
      {"gate_up_right_inverse", {3.7965, 0.972143}},
      {"gate_up_diagonal", {0.160895, 0.0449896}},
      {"down_left", {1.06017, 0.237383}},
      {"down_left_inverse", {0.81339, 0.197846}},
      {"down_right", {2.0036, 0.156414}},
      {"down_right_inverse", {1.31682, 0.214208}},
      {"down_diagonal", {0.206558, 0.057837}},
      {"heads", {0.860851, -0.247824}},
      {"heads_inverse", {0.941257, -0.190953}},
      {"key", {0.396773, 0.0640465}},
      {"key_inverse", {0.471895, 0.057248}},
      {"value", {2.35146, -0.450053}},
      {"value_inverse", {2.2067, -0.271211}},
      {"qkv_clip_low", {0.406375, -0.406375}},
      {"qkv_clip_high", {0.024401, 0.024401}},
      {"key_clip_low", {0.0013017, 0.0013017}},
      {"key_clip_high", {0.0552144, -0.0552144}},
      {"value_clip_low", {0.980879, -0.980879}},
      {"value_clip_high", {0.477699, -0.477699}},
      {"output_clip_low", {0.069392, -0.069392}},
      {"output_clip_high", {0.161817, -0.161817}},
      {"gate_up_clip_low", {0.0215091, -0.0215091}},
      {"gate_up_clip_high", {0.361199, 0.361199}},
      {"down_clip_low", {0.676982, 0.676982}},
      {"down_clip_high", {0.0327384, 0.0327384}},
      {"q_rows_low", {0.0945831, 0.00481769}},
      {"q_rows_high", {0.107598, 0.00198918}},
      {"k_rows_low", {0.143417, 0.0327528}},
      {"k_rows_high", {0.120145, -0.00705292}},
      {"v_rows_low", {0.739278, 0.0445157}},
      {"v_rows_high", {0.379731, -0.0783102}},
      {"o_rows_low", {0.465923, -0.0186502}},
      {"o_rows_high", {0.488155, -0.0822564}},
      {"gate_rows_low", {0.169602, 0.105311}},
      {"gate_rows_high", {0.248999, -0.0995058}},
      {"up_rows_low", {0.295198, 0.00305305}},
      {"up_rows_high", {0.240742, 0.00637124}},
      {"down_rows_low", {0.318241, 0.208487}},
      {"down_rows_high", {0.448953, 0.010829}},
  };
  test::FlatQuantCase c = test::flatquant_case();
  const at::Tensor d = quantized_output(c.block, c.learned, c.x, c.quantization, Product::float32) - c.target;
  const at::Tensor loss = (d * d).mean();
  loss.backward();
  CHECK(loss.item<double>() == Approx(4.117508).epsilon(1e-5));
  REQUIRE(c.leaves.size() == golden.size());
  for (const auto& [name, leaf] : c.leaves) {
    INFO(name);
    const Golden& g = golden.at(name);
    REQUIRE(leaf.grad().defined());
    // Float32 sums whose terms cancel: measured against the whole gradient. Golden values have six digits.
    CHECK(leaf.grad().norm().item<double>() == Approx(g.norm).epsilon(1e-4));
    CHECK(std::abs(leaf.grad().flatten()[0].item<double>() - g.first) < 1e-4 * g.norm);
  }
}

TEST_CASE("training makes a block's error smaller, with either parametrization and every part alone") {
  const test::FlatQuantCase c = test::flatquant_case();
  const at::Tensor x = test::float_numbers({8, 8, 12}, 30, 4);
  const auto train = [&](const FlatQuantOptions& o) {
    return train_block(c.block, rows_of(x), c.quantization, o, "block 0", {});
  };
  for (const int part : {0, 1, 2, 3, 4}) {
    FlatQuantOptions o = quick();
    if (part == 1) o.parametrization = Parametrization::direct_inv;
    o.transforms = part <= 2;
    o.diagonals = part <= 1 || part == 3;
    o.weight_clips = o.activation_clips = part <= 1 || part == 4;
    INFO("part " << part);
    std::int64_t steps = 0;
    const FlatQuantBlock learned = train_block(c.block, rows_of(x), c.quantization, o, "block 0", {[&] { ++steps; }});
    CHECK(steps == 24);
    CHECK(learned.losses.size() == 12);
    CHECK(learned.trained);
    CHECK(learned.last_loss < learned.first_loss);
    CHECK(learned.transform(FlatQuantSite::qkv).left.defined() == o.transforms);
    CHECK(learned.transform(FlatQuantSite::down).diagonal.defined() == o.diagonals);
    CHECK(learned.clip(FlatQuantWeight::up).low.defined() == o.weight_clips);
    CHECK(learned.clip(FlatQuantSite::key).high.defined() == o.activation_clips);
  }
  // The same again is the same; another seed is not.
  FlatQuantOptions o = quick();
  o.epochs = 2;
  const std::string first = bytes_of(train(o));
  CHECK(bytes_of(train(o)) == first);
  o.seed = 1;
  CHECK(bytes_of(train(o)) != first);
}

TEST_CASE("training that improves nothing keeps its start; one that diverges says so") {
  const test::FlatQuantCase c = test::flatquant_case();
  const at::Tensor x = test::float_numbers({4, 8, 12}, 31, 4);
  FlatQuantOptions o = quick();
  o.epochs = 1;
  o.learning_rate = o.clip_learning_rate = o.last_learning_rate = 0;
  const FlatQuantBlock same = train_block(c.block, rows_of(x), c.quantization, o, "block 0", {});
  CHECK(!same.trained);
  CHECK(same.last_loss == same.first_loss);

  o.learning_rate = 1e30;
  o.parametrization = Parametrization::direct_inv;
  o.epochs = 3;
  bool caught = false;
  try {
    train_block(c.block, rows_of(x), c.quantization, o, "block 7", {});
  } catch (const TrialError& e) {
    caught = true;
    CHECK(e.kind() == "training");
    const std::string text = e.what();
    CHECK(text.find("block 7") != std::string::npos);
    CHECK(text.find("learning_rate") != std::string::npos);
  }
  CHECK(caught);

  QuantizationSpec nothing = c.quantization;
  nothing.weights.bits = nothing.activations.bits = nothing.kv_cache.bits = 16;
  const FlatQuantBlock untouched = train_block(c.block, rows_of(x), nothing, quick(), "block 0", {});
  CHECK(untouched.losses.empty());
  CHECK(!untouched.transform(FlatQuantSite::qkv).left.defined());
}

TEST_CASE("a learned block comes back from its bytes; damaged bytes are refused") {
  const test::FlatQuantCase c = test::flatquant_case();
  FlatQuantBlock block = c.learned;
  block.losses = {3, 2.5};
  block.first_loss = 4;
  block.last_loss = 2;
  const std::string bytes = bytes_of(block);
  const FlatQuantBlock back = flatquant_block(bytes);
  CHECK(bytes_of(back) == bytes);
  CHECK(back.losses == block.losses);
  CHECK(test::largest_of(back.transform(FlatQuantSite::down).right - block.transform(FlatQuantSite::down).right) == 0);
  CHECK(!back.transform(FlatQuantSite::key).left.defined());
  CHECK_THROWS_AS(flatquant_block(bytes.substr(0, bytes.size() - 1)), DataError);
  CHECK_THROWS_AS(flatquant_block(bytes + "x"), DataError);
  CHECK_THROWS_AS(flatquant_block("{}\n"), DataError);
  CHECK_THROWS_AS(flatquant_block(""), DataError);
}

TEST_CASE("calibration items are cut so that every sequence begins with its item's first token") {
  const at::Tensor a = test::gaussian({9, 3}, 40), b = test::gaussian({9, 3}, 41);
  const TrainingRows rows = cut_rows(
      2, [&](std::int64_t i) { return i == 0 ? a : b; }, 4);
  REQUIRE(rows.inputs.size() == 4);  // tokens 1..3 and 4..6 behind token 0; 7 and 8 are too few
  CHECK(rows.starts == std::vector<bool>{true, true, false, false});
  CHECK(test::largest_of(rows.inputs[1] - b.slice(0, 0, 4)) == 0);
  CHECK(test::largest_of(rows.inputs[2].slice(0, 0, 1) - a.slice(0, 0, 1)) == 0);
  CHECK(test::largest_of(rows.inputs[2].slice(0, 1, 4) - a.slice(0, 4, 7)) == 0);
  CHECK(cut_rows(
            2, [&](std::int64_t) { return a; }, 0)
            .inputs.size() == 2);
  FlatQuantOptions o;
  o.epochs = 3;
  o.batch = 4;
  CHECK(training_steps(o, 9) == 9);
}
