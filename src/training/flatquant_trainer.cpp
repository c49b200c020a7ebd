#include "training/flatquant_trainer.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/minimum.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/stack.h>

#include <array>
#include <cmath>
#include <memory>
#include <optional>

#include "base/error.h"
#include "base/text.h"
#include "training/adamw.h"
#include "training/fake_quantize.h"
#include "training/kronecker.h"
#include "training/trial_rules.h"

namespace stamp::training {
namespace {

constexpr double clip_start = 4;            // sigmoid(4) = 0.982, specification 8.2
constexpr std::int64_t judged_batches = 4;  // what the loss before and after is taken over
constexpr std::array<FlatQuantSite, flatquant_sites> all_sites = {FlatQuantSite::qkv,     FlatQuantSite::key,
                                                                  FlatQuantSite::value,   FlatQuantSite::output,
                                                                  FlatQuantSite::gate_up, FlatQuantSite::down};

constexpr std::size_t index(FlatQuantSite s) {
  return static_cast<std::size_t>(s);
}
constexpr std::size_t index(FlatQuantWeight w) {
  return static_cast<std::size_t>(w);
}
bool is_cache(FlatQuantSite s) {
  return s == FlatQuantSite::key || s == FlatQuantSite::value;
}

// What one forward pass uses, float32: made from parameters (with gradients) or from a finished block.
struct Transform {
  at::Tensor diagonal, left, left_inverse_transpose, right, right_inverse_transpose;
};
struct Clip {
  at::Tensor low, high;
};
struct State {
  std::array<Transform, flatquant_sites> transforms;
  std::array<Clip, flatquant_sites> activation_clips;
  std::array<Clip, flatquant_weights> weight_clips;
  const Transform& of(FlatQuantSite s) const { return transforms[index(s)]; }
  const Clip& clip(FlatQuantSite s) const { return activation_clips[index(s)]; }
  const Clip& clip(FlatQuantWeight w) const { return weight_clips[index(w)]; }
};

struct Rules {
  FakeQuantize activations, cache, weights;
};

Rules rules_of(const QuantizationSpec& q, std::int64_t head_dim) {
  return {rule_of(q.activations), rule_of(q.kv_cache, head_dim), rule_of(q.weights)};
}

at::Tensor activation(const at::Tensor& x, const Transform& t, const Clip& clip, const FakeQuantize& rule) {
  const at::Tensor scaled = t.diagonal.defined() ? x * t.diagonal : x;
  return fake_quantize(kronecker_product(scaled, t.left, t.right), rule, clip.low, clip.high);
}

// A weight that reads x diagonal (left (x) right) instead of x.
at::Tensor reading(const at::Tensor& weight, const Transform& t) {
  const at::Tensor scaled = t.diagonal.defined() ? weight / t.diagonal : weight;
  return kronecker_product(scaled, t.left_inverse_transpose, t.right_inverse_transpose);
}

at::Tensor clamped(const at::Tensor& weight, const Clip& clip) {
  if (!clip.low.defined()) return weight;
  const at::Tensor low = std::get<0>(weight.min(-1, true)) * clip.low.unsqueeze(-1),
                   high = std::get<0>(weight.max(-1, true)) * clip.high.unsqueeze(-1);
  return at::minimum(at::maximum(weight, low), high);
}

// Clamped row by row, then rounded; in one pass where the scales are a row's too.
at::Tensor rounded(const at::Tensor& weight, const FakeQuantize& rule, const Clip& clip) {
  if (rule.group == 0 && rule.bits < 16) return fake_quantize_weight(weight, rule, clip.low, clip.high);
  return fake_quantize_weight(clamped(weight, clip), rule);
}

// Rows of a weight (m x d) times the same matrix in every head of n: W <- (I (x) R)^T W.
at::Tensor writing(const at::Tensor& weight, const at::Tensor& r) {
  if (!r.defined()) return weight;
  const std::int64_t n = r.size(0);
  return at::matmul(r.t(), weight.reshape({weight.size(0) / n, n, weight.size(1)})).reshape(weight.sizes());
}

BlockWeights quantized_weights(const BlockWeights& w, const State& s, const FakeQuantize& rule) {
  BlockWeights out = w;
  const Transform &qkv = s.of(FlatQuantSite::qkv), &value = s.of(FlatQuantSite::value);
  const auto quantize = [&](const at::Tensor& weight, const Transform& t, FlatQuantWeight which) {
    return rounded(reading(weight, t), rule, s.clip(which));
  };
  out.q = quantize(w.q, qkv, FlatQuantWeight::q);
  out.k = quantize(w.k, qkv, FlatQuantWeight::k);
  // Specification 8.2: transform, clamp, and only then the matrix on the outputs.
  out.v = rounded(writing(clamped(reading(w.v, qkv), s.clip(FlatQuantWeight::v)), value.right), rule, {});
  if (w.v_bias.defined() && value.right.defined()) out.v_bias = kronecker_product(w.v_bias, {}, value.right);
  Transform attended = s.of(FlatQuantSite::output);
  attended.right = value.right;
  attended.right_inverse_transpose = value.right_inverse_transpose;
  out.o = quantize(w.o, attended, FlatQuantWeight::o);
  out.gate = quantize(w.gate, s.of(FlatQuantSite::gate_up), FlatQuantWeight::gate);
  out.up = quantize(w.up, s.of(FlatQuantSite::gate_up), FlatQuantWeight::up);
  out.down = quantize(w.down, s.of(FlatQuantSite::down), FlatQuantWeight::down);
  return out;
}

BlockHooks hooks_of(const State& s, const Rules& rules) {
  BlockHooks hooks;
  const auto at_site = [&s, &rules](FlatQuantSite site) {
    return [&s, &rules, site](const at::Tensor& x) {
      return activation(x, s.of(site), s.clip(site), is_cache(site) ? rules.cache : rules.activations);
    };
  };
  hooks.qkv_input = at_site(FlatQuantSite::qkv);
  hooks.key = at_site(FlatQuantSite::key);
  const Transform& key = s.of(FlatQuantSite::key);
  if (key.right.defined())
    hooks.query = [&key](const at::Tensor& q) { return kronecker_product(q, {}, key.right_inverse_transpose); };
  // The values' matrix is in the weight already.
  hooks.value = [&s, &rules](const at::Tensor& v) {
    const Clip& clip = s.clip(FlatQuantSite::value);
    return fake_quantize(v, rules.cache, clip.low, clip.high);
  };
  hooks.output_input = at_site(FlatQuantSite::output);
  hooks.gate_up_input = at_site(FlatQuantSite::gate_up);
  hooks.down_input = at_site(FlatQuantSite::down);
  return hooks;
}

at::Tensor forward(const DecoderBlock& block, const State& state, const Rules& rules, const BlockShape& shape,
                   const RopeAngles& rope, const at::Tensor& x) {
  const BlockWeights weights = quantized_weights(block.weights, state, rules.weights);
  return block_forward(x, weights, shape, rope, hooks_of(state, rules));
}

// Largest |value| of every channel of a site's input and of the weights that read it.
struct Maxima {
  std::array<at::Tensor, flatquant_sites> of;
  void note(FlatQuantSite s, const at::Tensor& x) {
    const at::Tensor m = x.abs().reshape({-1, x.size(-1)}).amax(0);
    at::Tensor& held = of[index(s)];
    held = held.defined() ? at::maximum(held, m) : m;
  }
};

class Parameters {
 public:
  Parameters(const DecoderBlock& block, const Rules& rules, const FlatQuantOptions& o, const Maxima& maxima,
             const std::string& name) {
    const BlockWeights& w = block.weights;
    const bool linear = o.transforms && (rules.activations.bits < 16 || rules.weights.bits < 16);
    const bool cached = o.transforms && rules.cache.bits < 16;
    const auto matrix = [&](std::int64_t n, const std::string& purpose) {
      return std::make_unique<LearnedMatrix>(n, o.parametrization, o.seed, "flatquant " + name + " " + purpose);
    };
    const auto pair = [&](FlatQuantSite s, std::int64_t n, const std::string& purpose) {
      const KroneckerSizes sizes = kronecker_sizes(n);
      left_[index(s)] = matrix(sizes.left, purpose + " left");
      right_[index(s)] = matrix(sizes.right, purpose + " right");
    };
    if (linear) {
      pair(FlatQuantSite::qkv, w.q.size(1), "qkv");
      left_[index(FlatQuantSite::output)] = matrix(block.shape.heads, "heads");
      pair(FlatQuantSite::gate_up, w.gate.size(1), "gate_up");
      pair(FlatQuantSite::down, w.down.size(1), "down");
    }
    if (linear || cached) right_[index(FlatQuantSite::value)] = matrix(block.shape.head_dim, "value");
    if (cached) right_[index(FlatQuantSite::key)] = matrix(block.shape.head_dim, "key");
    if (o.diagonals)
      for (const auto& [site, readers] :
           {std::pair<FlatQuantSite, std::vector<at::Tensor>>{FlatQuantSite::qkv, {w.q, w.k, w.v}},
            {FlatQuantSite::gate_up, {w.gate, w.up}},
            {FlatQuantSite::down, {w.down}}})
        diagonals_[index(site)] = diagonal_start(readers, maxima.of[index(site)], o.diagonal_alpha);
    if (o.activation_clips)
      for (const FlatQuantSite s : all_sites)
        if ((is_cache(s) ? rules.cache : rules.activations).bits < 16) activation_clips_[index(s)] = clip_start_of(1);
    if (o.weight_clips && rules.weights.bits < 16) {
      const std::array<const at::Tensor*, flatquant_weights> weights = {&w.q,    &w.k,  &w.v,   &w.o,
                                                                        &w.gate, &w.up, &w.down};
      for (std::size_t i = 0; i < flatquant_weights; ++i) weight_clips_[i] = clip_start_of(weights[i]->size(0));
    }
  }

  std::vector<ParameterGroup> groups(const FlatQuantOptions& o) const {
    ParameterGroup shapes, clips;
    shapes.learning_rate = o.learning_rate;
    clips.learning_rate = o.clip_learning_rate;
    shapes.last_rate = clips.last_rate = o.last_learning_rate;
    for (std::size_t i = 0; i < flatquant_sites; ++i) {
      for (const auto* m : {&left_[i], &right_[i]})
        if (*m) shapes.parameters.insert(shapes.parameters.end(), (*m)->parameters().begin(), (*m)->parameters().end());
      if (diagonals_[i].defined()) shapes.parameters.push_back(diagonals_[i]);
    }
    const auto add = [&](const Clip& c) {
      if (c.low.defined()) clips.parameters.insert(clips.parameters.end(), {c.low, c.high});
    };
    for (const Clip& c : activation_clips_) add(c);
    for (const Clip& c : weight_clips_) add(c);
    return {shapes, clips};
  }

  State state() const {
    State s;
    for (std::size_t i = 0; i < flatquant_sites; ++i) {
      Transform& t = s.transforms[i];
      t.diagonal = diagonals_[i];
      if (left_[i]) {
        const LearnedMatrix::Pair p = left_[i]->current();
        t.left = p.matrix;
        t.left_inverse_transpose = p.inverse_transpose;
      }
      if (right_[i]) {
        const LearnedMatrix::Pair p = right_[i]->current();
        t.right = p.matrix;
        t.right_inverse_transpose = p.inverse_transpose;
      }
      s.activation_clips[i] = squashed(activation_clips_[i]);
    }
    for (std::size_t i = 0; i < flatquant_weights; ++i) s.weight_clips[i] = squashed(weight_clips_[i]);
    return s;
  }

  FlatQuantBlock finished() const {
    const at::NoGradGuard no_gradients;
    FlatQuantBlock out;
    const auto doubles = [](const at::Tensor& t) {
      return t.defined() ? t.detach().to(at::kDouble, false, true) : at::Tensor();
    };
    for (std::size_t i = 0; i < flatquant_sites; ++i) {
      LearnedTransform& t = out.transforms[i];
      t.diagonal = doubles(diagonals_[i]);
      if (left_[i]) {
        const LearnedMatrix::Pair p = left_[i]->exact();
        t.left = p.matrix;
        t.left_inverse = p.inverse_transpose.t().contiguous();
      }
      if (right_[i]) {
        const LearnedMatrix::Pair p = right_[i]->exact();
        t.right = p.matrix;
        t.right_inverse = p.inverse_transpose.t().contiguous();
      }
      const Clip clip = squashed(activation_clips_[i]);
      out.activation_clips[i] = {doubles(clip.low), doubles(clip.high)};
    }
    for (std::size_t i = 0; i < flatquant_weights; ++i) {
      const Clip clip = squashed(weight_clips_[i]);
      out.weight_clips[i] = {doubles(clip.low), doubles(clip.high)};
    }
    return out;
  }

 private:
  static Clip clip_start_of(std::int64_t n) {
    const auto start = [n] { return at::full({n}, clip_start, at::TensorOptions(at::kFloat)).set_requires_grad(true); };
    return {start(), start()};
  }
  static Clip squashed(const Clip& c) {
    return c.low.defined() ? Clip{at::sigmoid(c.low), at::sigmoid(c.high)} : Clip{};
  }
  // Specification 8.1: x is multiplied by c = w^(1-a) / x^a.
  static at::Tensor diagonal_start(const std::vector<at::Tensor>& readers, const at::Tensor& channel_maxima,
                                   double alpha) {
    at::Tensor largest;
    for (const at::Tensor& w : readers) {
      const at::Tensor m = w.abs().amax(0);
      largest = largest.defined() ? at::maximum(largest, m) : m;
    }
    constexpr double smallest = 1e-5;
    const at::Tensor c = largest.clamp_min(smallest).pow(1 - alpha) / channel_maxima.clamp_min(smallest).pow(alpha);
    return c.clamp_min(smallest).contiguous().set_requires_grad(true);
  }

  std::array<std::unique_ptr<LearnedMatrix>, flatquant_sites> left_, right_;
  std::array<at::Tensor, flatquant_sites> diagonals_;
  std::array<Clip, flatquant_sites> activation_clips_;
  std::array<Clip, flatquant_weights> weight_clips_;
};

State state_of(const FlatQuantBlock& block) {
  const auto floats = [](const at::Tensor& t) { return t.defined() ? t.to(at::kFloat).contiguous() : at::Tensor(); };
  State s;
  for (std::size_t i = 0; i < flatquant_sites; ++i) {
    const LearnedTransform& t = block.transforms[i];
    s.transforms[i].diagonal = floats(t.diagonal);
    s.transforms[i].left = floats(t.left);
    s.transforms[i].right = floats(t.right);
    if (t.left.defined()) s.transforms[i].left_inverse_transpose = floats(t.left_inverse.t());
    if (t.right.defined()) s.transforms[i].right_inverse_transpose = floats(t.right_inverse.t());
    s.activation_clips[i] = {floats(block.activation_clips[i].low), floats(block.activation_clips[i].high)};
  }
  for (std::size_t i = 0; i < flatquant_weights; ++i)
    s.weight_clips[i] = {floats(block.weight_clips[i].low), floats(block.weight_clips[i].high)};
  return s;
}

// A step's sequences, one after the other.
struct Batch {
  at::Tensor inputs, targets;  // b x s x h
  at::Tensor counts;           // b x s x 1, 1 where a row counts in the loss
  double counted = 0;          // values that do
};

at::Tensor mean_squared_error(const at::Tensor& out, const Batch& batch) {
  const at::Tensor d = (out - batch.targets) * batch.counts;
  return (d * d).sum() / batch.counted;
}

// Sequences in batches of equal length, in their order; the full-precision outputs beside them, and channel maxima.
std::vector<Batch> make_batches(const DecoderBlock& block, const TrainingRows& rows, const BlockShape& shape,
                                std::int64_t batch, Maxima& maxima) {
  const at::NoGradGuard no_gradients;
  BlockHooks observe;
  const auto note = [&maxima](FlatQuantSite s) {
    return [&maxima, s](const at::Tensor& x) {
      maxima.note(s, x);
      return x;
    };
  };
  observe.qkv_input = note(FlatQuantSite::qkv);
  observe.gate_up_input = note(FlatQuantSite::gate_up);
  observe.down_input = note(FlatQuantSite::down);
  std::vector<Batch> batches;
  for (std::size_t i = 0; i < rows.inputs.size();) {
    std::vector<at::Tensor> inputs;
    const std::int64_t tokens = rows.inputs[i].size(0);
    Batch b;
    std::vector<bool> starts;
    for (;
         i < rows.inputs.size() && static_cast<std::int64_t>(inputs.size()) < batch && rows.inputs[i].size(0) == tokens;
         ++i) {
      inputs.push_back(rows.inputs[i]);
      starts.push_back(rows.starts[i]);
    }
    b.inputs = at::stack(inputs);
    b.counts = at::ones({b.inputs.size(0), tokens, 1}, at::TensorOptions(at::kFloat));
    std::int64_t counted = b.inputs.size(0) * tokens;
    for (std::size_t k = 0; k < starts.size(); ++k)
      if (!starts[k]) {
        b.counts.data_ptr<float>()[static_cast<std::int64_t>(k) * tokens] = 0;
        --counted;
      }
    b.counted = static_cast<double>(counted * b.inputs.size(2));
    b.targets = block_forward(b.inputs, block.weights, shape, rope_angles(0, tokens, block.frequencies), observe);
    batches.push_back(std::move(b));
  }
  return batches;
}

}  // namespace

TrainingRows cut_rows(std::int64_t items, const std::function<at::Tensor(std::int64_t)>& item, std::int64_t tokens) {
  std::vector<TrainingRows> cut(static_cast<std::size_t>(items));
  std::size_t most = 0;
  for (std::int64_t i = 0; i < items; ++i) {
    TrainingRows& own = cut[static_cast<std::size_t>(i)];
    const at::Tensor rows = item(i);
    const std::int64_t s = rows.size(0);
    if (tokens <= 1 || tokens >= s) {
      own.inputs.push_back(rows.clone());
      own.starts.push_back(true);
    } else {
      for (std::int64_t first = 1; first + tokens - 1 <= s; first += tokens - 1) {
        own.inputs.push_back(at::cat({rows.slice(0, 0, 1), rows.slice(0, first, first + tokens - 1)}));
        own.starts.push_back(first == 1);
      }
    }
    most = std::max(most, own.inputs.size());
  }
  // Items take turns, so that a batch does not come from one of them.
  TrainingRows out;
  for (std::size_t k = 0; k < most; ++k)
    for (const TrainingRows& own : cut)
      if (k < own.inputs.size()) {
        out.inputs.push_back(own.inputs[k]);
        out.starts.push_back(own.starts[k]);
      }
  return out;
}

std::int64_t training_steps(const FlatQuantOptions& options, std::size_t sequences) {
  const auto n = static_cast<std::int64_t>(sequences);
  return options.epochs * ((n + options.batch - 1) / options.batch);
}

FlatQuantBlock train_block(const DecoderBlock& block, const TrainingRows& rows, const QuantizationSpec& quantization,
                           const FlatQuantOptions& options, const std::string& name, const TrainingHooks& hooks) {
  const Rules rules = rules_of(quantization, block.shape.head_dim);
  BlockShape exact = block.shape, fast = block.shape;
  fast.product = options.product;
  Maxima maxima;
  const std::vector<Batch> batches = make_batches(block, rows, exact, options.batch, maxima);
  const Parameters parameters(block, rules, options, maxima, name);
  FlatQuantBlock start = parameters.finished();
  const bool quantizes = rules.activations.bits < 16 || rules.cache.bits < 16 || rules.weights.bits < 16;
  if (!quantizes) return start;

  std::int64_t rope_tokens = 0;
  RopeAngles rope;
  const auto loss_of = [&](const Batch& batch, const State& state) {
    if (batch.inputs.size(1) != rope_tokens) {
      rope_tokens = batch.inputs.size(1);
      rope = rope_angles(0, rope_tokens, block.frequencies);
    }
    return mean_squared_error(forward(block, state, rules, fast, rope, batch.inputs), batch);
  };
  // Spread over the batches.
  const auto judge = [&](const State& state) {
    const at::NoGradGuard no_gradients;
    const auto n = static_cast<std::int64_t>(batches.size()), count = std::min(judged_batches, n);
    double sum = 0;
    for (std::int64_t i = 0; i < count; ++i)
      sum += loss_of(batches[static_cast<std::size_t>(i * n / count)], state).item<double>();
    return sum / static_cast<double>(count);
  };
  const auto check = [&](double loss, const std::string& when) {
    if (!std::isfinite(loss))
      throw TrialError("training", "flatquant: the loss of " + name + " is not a number " + when +
                                       "; a smaller learning_rate (" + number_text(options.learning_rate) +
                                       " now) or parametrization: svd may help");
  };

  {
    const at::NoGradGuard no_gradients;
    start.first_loss = judge(parameters.state());
  }
  check(start.first_loss, "before the first step");
  AdamW optimizer(parameters.groups(options));
  const std::int64_t steps = training_steps(options, rows.inputs.size());
  std::int64_t done = 0;
  std::vector<double> losses;
  for (std::int64_t epoch = 0; epoch < options.epochs; ++epoch) {
    double sum = 0;
    for (const Batch& batch : batches) {
      optimizer.zero_gradients();
      const at::Tensor loss = loss_of(batch, parameters.state());
      const double value = loss.item<double>();
      check(value, "in step " + std::to_string(done + 1) + " of " + std::to_string(steps));
      sum += value;
      // The gradient of log(loss).
      if (value > 0) (loss / value).backward();
      optimizer.step(cosine_decay(done, steps));
      ++done;
      if (hooks.step) hooks.step();
    }
    losses.push_back(sum / static_cast<double>(batches.size()));
  }
  FlatQuantBlock out = parameters.finished();
  double last = 0;
  {
    const at::NoGradGuard no_gradients;
    last = judge(parameters.state());
  }
  check(last, "after the last step");
  const double first = start.first_loss;
  if (last >= first && steps > 0) {
    out = start;
    out.trained = false;
  }
  out.losses = losses;
  out.first_loss = first;
  out.last_loss = last;
  return out;
}

at::Tensor quantized_output(const DecoderBlock& block, const FlatQuantBlock& learned, const at::Tensor& x,
                            const QuantizationSpec& quantization, Product product) {
  const Rules rules = rules_of(quantization, block.shape.head_dim);
  BlockShape shape = block.shape;
  shape.product = product;
  return forward(block, state_of(learned), rules, shape, rope_angles(0, x.size(1), block.frequencies), x);
}

}  // namespace stamp::training
