// SpinQuant's objective against one plain autograd graph and against finite differences; its training, interrupted and
// not. Specification methods 7.
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/zeros.h>
#include <c10/core/InferenceMode.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "base/seed.h"
#include "support/catch.h"
#include "training/cayley.h"
#include "training/spinquant_trainer.h"
#include "unit/training/tensors.h"

using namespace stamp;
using namespace stamp::training;

namespace {

constexpr std::int64_t h = 12, heads = 4, kv_heads = 2, hd = 4, f = 20, vocabulary = 30, tokens = 9;

BlockWeights block_weights(std::uint64_t seed) {
  const auto g = [&](std::vector<std::int64_t> shape, double scale) { return test::gaussian(shape, seed++, scale); };
  BlockWeights w;
  w.attention_norm = 1 + g({h}, 0.3);
  w.q = g({heads * hd, h}, 0.5);
  w.k = g({kv_heads * hd, h}, 0.5);
  w.v = g({kv_heads * hd, h}, 0.3);
  w.o = g({h, heads * hd}, 0.3);
  w.q_bias = g({heads * hd}, 0.3);
  w.k_bias = g({kv_heads * hd}, 0.3);
  w.v_bias = g({kv_heads * hd}, 0.3);
  w.o_bias = g({h}, 0.3);
  w.feed_forward_norm = 1 + g({h}, 0.3);
  w.gate = g({f, h}, 0.3);
  w.up = g({f, h}, 0.3);
  w.down = g({h, f}, 0.3);
  w.gate_bias = g({f}, 0.3);
  w.up_bias = g({f}, 0.3);
  w.down_bias = g({h}, 0.3);
  return w;
}

// Two blocks with biases everywhere, grouped queries, one with a window.
struct Tiny {
  explicit Tiny(bool gemma = false) : capped(gemma) {
    if (gemma)
      for (std::size_t i = 0; i < 2; ++i) {
        blocks[i].q_norm = 1 + test::gaussian({hd}, 102 + i, 0.3);
        blocks[i].k_norm = 1 + test::gaussian({hd}, 104 + i, 0.3);
        blocks[i].attention_post_norm = 1 + test::gaussian({h}, 106 + i, 0.3);
        blocks[i].feed_forward_post_norm = 1 + test::gaussian({h}, 108 + i, 0.3);
      }
  }
  // As Gemma has them: norms of heads, norms behind attention and feed-forward, a RoPE of their own in windowed layers,
  // capped logits.
  bool capped;
  at::Tensor embedding = test::gaussian({vocabulary, h}, 100);
  std::vector<BlockWeights> blocks = {block_weights(1), block_weights(50)};
  at::Tensor head = test::gaussian({vocabulary, h}, 101, 0.5);

  FrozenDecoder decoder(bool resident = true) const {
    FrozenDecoder d;
    d.hidden = h;
    for (int i = 0; i < 2; ++i) {
      BlockShape shape;
      shape.heads = heads;
      shape.kv_heads = kv_heads;
      shape.head_dim = hd;
      shape.norm_eps = 1e-5;
      shape.scale = 0.5;
      shape.window = i == 0 ? 0 : 4;
      d.shapes.push_back(shape);
    }
    d.frequencies = {{1.0F, 0.1F}, capped ? std::vector<float>{0.5F, 0.02F} : std::vector<float>{1.0F, 0.1F}};
    d.final_softcap = capped ? 3.0 : 0.0;
    d.norm_eps = 1e-5;
    d.head = head;
    d.embed = [e = embedding](const at::Tensor& ids) { return at::index_select(e, 0, ids); };
    d.block = [list = blocks](std::size_t i) { return list[i]; };
    d.resident = resident;
    return d;
  }
};

SpinQuantOptions options(double bits) {
  SpinQuantOptions o;
  o.activations.bits = o.keys.bits = o.values.bits = bits;
  o.activations.gradient = StraightThrough::identity;
  o.keys.group = o.values.group = hd;
  o.keys.gradient = o.values.gradient = o.weights.gradient = StraightThrough::identity;
  o.weights.bits = 16;
  o.weights.symmetric = true;
  o.key_rotation = hadamard(hd);
  o.down_rotation = hadamard(f);
  o.product = Product::float32;
  return o;
}

at::Tensor doubles(const at::Tensor& t) {
  return t.to(at::kDouble);
}
Rotations rotations(std::uint64_t seed) {
  Rotations r;
  r.residual = orthonormal_rows(doubles(test::gaussian({h, h}, seed)));
  for (std::uint64_t i = 0; i < 2; ++i)
    r.heads.push_back(orthonormal_rows(doubles(test::gaussian({hd, hd}, seed + 1 + i))));
  return r;
}
Rotations identities() {
  const auto eye = [](std::int64_t n) { return at::eye(n, at::TensorOptions(at::kDouble)); };
  return {eye(h), {eye(hd), eye(hd)}};
}

at::Tensor sequences(std::int64_t count, std::int64_t length, std::uint64_t seed) {
  RandomStream stream(seed, "ids", 0);
  at::Tensor ids = at::empty({count, length}, at::TensorOptions(at::kLong));
  for (std::int64_t i = 0; i < ids.numel(); ++i)
    ids.data_ptr<std::int64_t>()[i] = static_cast<std::int64_t>(stream.below(vocabulary));
  return ids;
}

at::Tensor skew_part(const at::Tensor& p, const at::Tensor& gradient) {
  const at::Tensor m = at::matmul(p.t(), gradient);
  return 0.5 * (m - m.t());
}

// One graph from the rotations to the loss, nothing recomputed: the slow twin. R4 as a matrix, embedding and logits
// whole.
SpinQuantObjective::Value plain_gradient(const Tiny& tiny, const SpinQuantOptions& o, const Rotations& r,
                                         const at::Tensor& ids) {
  const FrozenDecoder d = tiny.decoder();
  const auto dense = [](const FeatureTransform& t) {
    const std::vector<double> m = t.matrix();
    at::Tensor out = at::empty({t.size(), t.size()}, at::TensorOptions(at::kDouble));
    std::copy(m.begin(), m.end(), out.data_ptr<double>());
    return out.to(at::kFloat);
  };
  const at::Tensor r3 = dense(*o.key_rotation), r4 = dense(*o.down_rotation);
  const at::Tensor r1 = test::leaf(r.residual.to(at::kFloat));
  std::vector<at::Tensor> r2;
  for (const at::Tensor& head_rotation : r.heads) r2.push_back(test::leaf(head_rotation.to(at::kFloat)));
  const auto per_head = [&](const at::Tensor& x, const at::Tensor& m) {
    return at::matmul(x.reshape({x.size(0), x.size(1), -1, hd}), m).flatten(-2);
  };
  at::Tensor x =
      at::matmul(at::index_select(tiny.embedding, 0, ids.flatten()).reshape({ids.size(0), ids.size(1), h}), r1);
  for (std::size_t b = 0; b < 2; ++b) {
    const BlockWeights& w = tiny.blocks[b];
    // I (x) R2 as one matrix.
    at::Tensor values = at::zeros({kv_heads * hd, kv_heads * hd}), outputs = at::zeros({heads * hd, heads * hd});
    for (std::int64_t i = 0; i < kv_heads; ++i)
      values = values + at::constant_pad_nd(r2[b], {i * hd, (kv_heads - 1 - i) * hd, i * hd, (kv_heads - 1 - i) * hd});
    for (std::int64_t i = 0; i < heads; ++i)
      outputs = outputs + at::constant_pad_nd(r2[b], {i * hd, (heads - 1 - i) * hd, i * hd, (heads - 1 - i) * hd});
    BlockWeights t = w;
    t.attention_norm = t.feed_forward_norm = at::ones({h});
    t.q = at::matmul(w.q * w.attention_norm, r1);
    t.k = at::matmul(w.k * w.attention_norm, r1);
    t.v = at::matmul(values.t(), at::matmul(w.v * w.attention_norm, r1));
    t.v_bias = at::matmul(w.v_bias, values);
    const bool behind_norms = w.attention_post_norm.defined();
    if (behind_norms) t.branch_rotation = r1;
    t.o = at::matmul(w.o, outputs);
    if (!behind_norms) {
      t.o = at::matmul(r1.t(), t.o);
      t.o_bias = at::matmul(w.o_bias, r1);
    }
    t.gate = at::matmul(w.gate * w.feed_forward_norm, r1);
    t.up = at::matmul(w.up * w.feed_forward_norm, r1);
    t.down = at::matmul(w.down, r4);
    if (!behind_norms) {
      t.down = at::matmul(r1.t(), t.down);
      t.down_bias = at::matmul(w.down_bias, r1);
    }
    if (o.weights.bits < 16)
      for (at::Tensor* weight : {&t.q, &t.k, &t.v, &t.o, &t.gate, &t.up, &t.down})
        *weight = fake_quantize(*weight, o.weights);
    BlockHooks hooks;
    const auto round = [&](const at::Tensor& v) { return fake_quantize(v, o.activations); };
    hooks.qkv_input = hooks.output_input = hooks.gate_up_input = round;
    hooks.query = [&](const at::Tensor& v) { return per_head(v, r3); };
    hooks.key = [&](const at::Tensor& v) { return fake_quantize(per_head(v, r3), o.keys); };
    hooks.value = [&](const at::Tensor& v) { return fake_quantize(v, o.values); };
    hooks.down_input = [&](const at::Tensor& v) { return fake_quantize(at::matmul(v, r4), o.activations); };
    x = block_forward(x, t, d.shapes[b], rope_angles(0, ids.size(1), d.frequencies[b]), hooks);
  }
  at::Tensor logits = at::matmul(at::matmul(rms_norm(x, at::ones({h}), d.norm_eps), r1.t()), tiny.head.t());
  if (d.final_softcap > 0) logits = at::tanh(logits / d.final_softcap) * d.final_softcap;
  const std::int64_t s = ids.size(1);
  const at::Tensor loss = at::cross_entropy_loss(logits.narrow(1, 0, s - 1).reshape({-1, vocabulary}),
                                                 ids.narrow(1, 1, s - 1).reshape({-1}));
  loss.backward();
  SpinQuantObjective::Value value;
  value.loss = loss.item<double>();
  value.gradient.residual = doubles(r1.grad());
  for (const at::Tensor& head_rotation : r2) value.gradient.heads.push_back(doubles(head_rotation.grad()));
  return value;
}

void check_close(const SpinQuantObjective::Value& a, const SpinQuantObjective::Value& b, double tolerance) {
  CHECK(a.loss == Approx(b.loss).epsilon(tolerance));
  CHECK(test::relative_distance(a.gradient.residual, b.gradient.residual) < tolerance);
  REQUIRE(a.gradient.heads.size() == b.gradient.heads.size());
  for (std::size_t i = 0; i < a.gradient.heads.size(); ++i)
    CHECK(test::relative_distance(a.gradient.heads[i], b.gradient.heads[i]) < tolerance);
}

}  // namespace

TEST_CASE("the loss of a full-precision model does not see its rotations, nor does its gradient along them") {
  const SpinQuantObjective objective(Tiny().decoder(), options(16));
  const at::Tensor ids = sequences(2, tokens, 3);
  const double plain = objective.loss(identities(), ids).loss;
  for (const std::uint64_t seed : {20, 30}) {
    const Rotations r = rotations(seed);
    const auto value = objective.gradient(r, ids);
    CHECK(value.loss == Approx(plain).epsilon(1e-6));
    CHECK(objective.loss(r, ids).loss == Approx(value.loss).epsilon(1e-9));
    // Free matrices change the function; orthogonal ones do not.
    CHECK(test::largest_of(value.gradient.residual) > 0.05);
    CHECK(test::largest_of(skew_part(r.residual, value.gradient.residual)) <
          1e-5 * test::largest_of(value.gradient.residual));
    for (std::size_t i = 0; i < 2; ++i)
      CHECK(test::largest_of(skew_part(r.heads[i], value.gradient.heads[i])) <
            1e-5 * test::largest_of(value.gradient.heads[i]));
  }
}

TEST_CASE("gradients by the rotations are what finite differences give") {
  const SpinQuantObjective objective(Tiny().decoder(), options(16));
  const at::Tensor ids = sequences(1, tokens, 4);
  const Rotations r = rotations(40);
  const auto value = objective.gradient(r, ids);
  const double step = 2e-3;  // errors: step^2 of the third derivative, 1e-7 / step of float32
  const auto slope = [&](const at::Tensor& direction, int which) {
    const auto at_offset = [&](double offset) {
      Rotations moved = r;
      at::Tensor& part = which < 0 ? moved.residual : moved.heads[static_cast<std::size_t>(which)];
      part = part + offset * direction;
      return objective.loss(moved, ids).loss;
    };
    return (at_offset(step) - at_offset(-step)) / (2 * step);
  };
  for (int which = -1; which < 2; ++which) {
    const at::Tensor& gradient =
        which < 0 ? value.gradient.residual : value.gradient.heads[static_cast<std::size_t>(which)];
    // Along the gradient itself, so that its whole length is in it, and along a random direction.
    const at::Tensor along = gradient / gradient.square().sum().sqrt();
    const at::Tensor random = doubles(test::gaussian(gradient.sizes().vec(), 41));
    INFO("R" << (which < 0 ? 1 : 2) << " " << which);
    CHECK(slope(along, which) == Approx((along * gradient).sum().item<double>()).epsilon(2e-3));
    CHECK(slope(random / random.square().sum().sqrt(), which) ==
          Approx((random * gradient).sum().item<double>() / random.square().sum().sqrt().item<double>())
              .margin(2e-3 * gradient.square().sum().sqrt().item<double>()));
  }
}

TEST_CASE("recomputing blocks gives the gradient of one graph") {
  const Tiny tiny;
  const at::Tensor ids = sequences(3, tokens, 5);
  for (const double weight_bits : {16.0, 4.0}) {
    SpinQuantOptions o = options(4);
    o.weights.bits = weight_bits;
    const Rotations r = rotations(50);
    const auto expected = plain_gradient(tiny, o, r, ids);
    INFO("weights " << weight_bits);
    // Values near a rounding boundary may fall to either side of it: the sums of the two run in another order.
    check_close(SpinQuantObjective(tiny.decoder(true), o).gradient(r, ids), expected, 2e-5);
    check_close(SpinQuantObjective(tiny.decoder(false), o).gradient(r, ids), expected, 2e-5);
    CHECK(test::largest_of(skew_part(r.residual, expected.gradient.residual)) > 1e-3);  // rounding sees the rotations
  }
}

TEST_CASE("the objective works under inference mode, and in bfloat16 to its precision") {
  const at::Tensor ids = sequences(2, tokens, 6);
  const Rotations r = rotations(60);
  const auto expected = SpinQuantObjective(Tiny().decoder(), options(4)).gradient(r, ids);
  {
    const c10::InferenceMode guard;
    const Tiny made_here;  // inference tensors
    check_close(SpinQuantObjective(made_here.decoder(), options(4)).gradient(r, ids), expected, 1e-9);
  }
  SpinQuantOptions half = options(16);
  const auto exact = SpinQuantObjective(Tiny().decoder(), half).gradient(r, ids);
  half.product = Product::bfloat16;
  const auto rough = SpinQuantObjective(Tiny().decoder(), half).gradient(r, ids);
  CHECK(rough.loss == Approx(exact.loss).epsilon(0.02));  // 2^-9 a factor, ten products deep
  CHECK(test::relative_distance(rough.gradient.residual, exact.gradient.residual) < 0.1);
}

TEST_CASE("streamed blocks are asked for twice and released as often; resident ones once") {
  const Tiny tiny;
  int asked = 0, released = 0;
  const auto run = [&](bool resident) {
    asked = released = 0;
    FrozenDecoder d = tiny.decoder(resident);
    d.block = [&](std::size_t i) { return ++asked, tiny.blocks[i]; };
    d.release = [&](std::size_t) { ++released; };
    SpinQuantObjective(d, options(4)).gradient(rotations(70), sequences(1, tokens, 7));
  };
  run(false);
  CHECK(asked == 4);
  CHECK(released == 4);
  run(true);
  CHECK(asked == 2);
}

TEST_CASE("norms behind both branches or behind neither") {
  BlockWeights w = block_weights(1);
  w.attention_post_norm = at::ones({h});
  CHECK_THROWS_AS(fold_rotations(w, at::eye(h), at::eye(hd), nullptr), std::logic_error);
}

TEST_CASE("with norms behind the branches the rotations still leave the full-precision loss alone") {
  const Tiny gemma(true);
  const at::Tensor ids = sequences(2, tokens, 9);
  const SpinQuantObjective exact(gemma.decoder(), options(16));
  const double loss = exact.loss(identities(), ids).loss;
  CHECK(exact.loss(rotations(80), ids).loss == Approx(loss).epsilon(1e-5));
  CHECK(SpinQuantObjective(Tiny().decoder(), options(16)).loss(identities(), ids).loss != Approx(loss).epsilon(1e-2));
  for (const double bits : {4.0, 16.0})
    check_close(SpinQuantObjective(gemma.decoder(), options(bits)).gradient(rotations(81), ids),
                plain_gradient(gemma, options(bits), rotations(81), ids), 2e-5);
}

namespace {

SpinQuantSchedule schedule() {
  SpinQuantSchedule s;
  s.steps = 12;
  s.batch = 2;
  s.rate = 0.5;
  s.seed = 3;
  s.checkpoint_every = 5;
  return s;
}

}  // namespace

TEST_CASE("training lowers the loss and stays orthogonal") {
  const SpinQuantObjective objective(Tiny().decoder(), options(3));
  SpinQuantSchedule s = schedule();
  s.steps = 40;
  s.batch = 4;
  const at::Tensor ids = sequences(4, 40, 8);
  std::int64_t last = 0;
  SpinQuantWatch watch;
  watch.step = [&](std::int64_t done, std::int64_t total) {
    CHECK(done == ++last);
    CHECK(total == 40);
  };
  const SpinQuantState state = train_rotations(objective, ids, s, {0, rotations(80), {}, 0, 0}, watch);
  CHECK(state.steps == 40);
  CHECK(state.losses.size() == 40);
  INFO("loss " << state.before << " -> " << state.after << ", full precision "
               << SpinQuantObjective(Tiny().decoder(), options(16)).loss(identities(), ids).loss);
  CHECK(state.after < state.before - 0.02);
  CHECK(state.losses.front() == Approx(state.before).epsilon(1e-6));  // the same four sequences
  CHECK(orthogonality_error(state.rotations.residual) <= CayleySgd::tolerance);
  for (const at::Tensor& r : state.rotations.heads) CHECK(orthogonality_error(r) <= CayleySgd::tolerance);
  CHECK(test::largest_of(state.rotations.residual - rotations(80).residual) > 1e-2);
  CHECK(test::largest_of(state.rotations.heads[1] - rotations(80).heads[1]) > 1e-3);
}

TEST_CASE("a killed training goes on from its checkpoint to the same bits") {
  const SpinQuantObjective objective(Tiny().decoder(), options(4));
  const at::Tensor ids = sequences(5, tokens, 9);
  const SpinQuantState fresh{0, rotations(90), {}, 0, 0};
  std::string kept;
  std::vector<std::int64_t> kept_at;
  SpinQuantWatch watch;
  watch.keep = [&](const SpinQuantState& state) {
    kept = bytes_of(state);
    kept_at.push_back(state.steps);
  };
  const SpinQuantState whole = train_rotations(objective, ids, schedule(), fresh, watch);
  CHECK(kept_at == std::vector<std::int64_t>{5, 10, 12});
  CHECK(kept == bytes_of(whole));

  for (const std::int64_t stop : {3, 7, 11}) {  // before the first checkpoint, between two, behind the last
    kept.clear();
    watch.step = [&](std::int64_t done, std::int64_t) {
      if (done == stop) throw std::runtime_error("killed");
    };
    CHECK_THROWS_AS(train_rotations(objective, ids, schedule(), fresh, watch), std::runtime_error);
    watch.step = {};
    SpinQuantState state = fresh;
    if (stop > 5) {
      const auto read = state_from(kept, fresh.rotations);
      REQUIRE(read);
      CHECK(read->steps == stop / 5 * 5);
      state = *read;
    } else {
      CHECK(kept.empty());
    }
    CHECK(bytes_of(train_rotations(objective, ids, schedule(), state, watch)) == bytes_of(whole));
  }
  // A finished one has nothing left to do.
  const SpinQuantState again = train_rotations(objective, ids, schedule(), *state_from(kept, fresh.rotations), {});
  CHECK(bytes_of(again) == bytes_of(whole));
}

TEST_CASE("damaged or foreign states are not taken up") {
  const SpinQuantState state{2, rotations(91), {1.5, 1.25}, 2, 0};
  const std::string good = bytes_of(state);
  const auto read = state_from(good, state.rotations);
  REQUIRE(read);
  CHECK(read->losses == state.losses);
  CHECK(read->before == 2);
  CHECK(test::largest_of(read->rotations.heads[1] - state.rotations.heads[1]) == 0);
  for (std::size_t length : {std::size_t{0}, std::size_t{10}, good.size() / 2, good.size() - 1})
    CHECK(!state_from(good.substr(0, length), state.rotations));
  CHECK(!state_from(good + "x", state.rotations));
  CHECK(!state_from("something else\n" + good, state.rotations));
  Rotations more = state.rotations;
  more.heads.push_back(more.heads[0]);
  CHECK(!state_from(good, more));
  more = state.rotations;
  more.residual = at::eye(h + 1, at::TensorOptions(at::kDouble));
  CHECK(!state_from(good, more));
}

TEST_CASE("a loss that is not finite ends the training with its step and rate") {
  Tiny tiny;
  tiny.head.data_ptr<float>()[5] = NAN;
  const SpinQuantObjective objective(tiny.decoder(), options(4));
  SpinQuantState fresh{0, rotations(92), {}, 0, 0};
  try {
    train_rotations(objective, sequences(1, tokens, 10), schedule(), fresh, {});
    FAIL("no error");
  } catch (const TrialError& error) {
    CHECK(error.kind() == "training");
    CHECK(std::string(error.what()).find("the loss is not finite at step 1 of 12 (learning rate 0.5)") !=
          std::string::npos);
  }
}
