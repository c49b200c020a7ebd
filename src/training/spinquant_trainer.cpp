#include "training/spinquant_trainer.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/stack.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "base/error.h"
#include "base/json.h"
#include "base/seed.h"
#include "training/adamw.h"
#include "training/cayley.h"

namespace stamp::training {
namespace {

constexpr std::string_view magic = "spinquant state 1\n";

void append_doubles(std::string& out, const double* values, std::int64_t count) {
  out.append(reinterpret_cast<const char*>(values), static_cast<std::size_t>(count) * sizeof(double));
}

// Takes doubles from the front of a text; false when there are not enough.
bool take_doubles(std::string_view& from, double* values, std::int64_t count) {
  const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(double);
  if (from.size() < bytes) return false;
  std::memcpy(values, from.data(), bytes);
  from.remove_prefix(bytes);
  return true;
}

std::vector<at::Tensor> all(const Rotations& r) {
  std::vector<at::Tensor> list = {r.residual};
  list.insert(list.end(), r.heads.begin(), r.heads.end());
  return list;
}

// Sequences of one step. Round r of the text is shuffled with its own number, so that any step can be computed alone.
std::vector<std::int64_t> batch_of(std::int64_t step, std::int64_t sequences, const SpinQuantSchedule& schedule) {
  std::vector<std::int64_t> chosen;
  for (std::int64_t i = step * schedule.batch; i < (step + 1) * schedule.batch; ++i) {
    const std::int64_t round = i / sequences;
    chosen.push_back(permutation(sequences, schedule.seed,
                                 "spinquant round " + std::to_string(round))[static_cast<std::size_t>(i % sequences)]);
  }
  return chosen;
}

at::Tensor rows_of_ids(const at::Tensor& ids, const std::vector<std::int64_t>& chosen) {
  std::vector<at::Tensor> rows;
  for (const std::int64_t i : chosen) rows.push_back(ids[i]);
  return at::stack(rows);
}

double probe_loss(const SpinQuantObjective& objective, const at::Tensor& ids, const SpinQuantSchedule& schedule,
                  const Rotations& rotations) {
  // All at once: folding the rotations into the weights costs more than a short sequence.
  return objective.loss(rotations, ids.narrow(0, 0, std::min(schedule.probes, ids.size(0)))).loss;
}

[[noreturn]] void diverged(const std::string& what, std::int64_t step, const SpinQuantSchedule& schedule, double rate) {
  throw TrialError("training",
                   fmt::format("spinquant: {} is not finite at step {} of {} (learning rate {:.3g}); a lower "
                               "learning_rate, or more bits, may train",
                               what, step + 1, schedule.steps, rate));
}

}  // namespace

std::string bytes_of(const SpinQuantState& state) {
  const Json head = {{"steps", state.steps},
                     {"hidden", state.rotations.residual.size(0)},
                     {"blocks", state.rotations.heads.size()},
                     {"head_dim", state.rotations.heads.empty() ? 0 : state.rotations.heads[0].size(0)},
                     {"losses", state.losses.size()}};
  std::string out = std::string(magic) + head.dump() + "\n";
  for (const at::Tensor& r : all(state.rotations)) {
    const at::Tensor dense = r.contiguous();
    append_doubles(out, dense.const_data_ptr<double>(), dense.numel());
  }
  append_doubles(out, state.losses.data(), static_cast<std::int64_t>(state.losses.size()));
  append_doubles(out, &state.before, 1);
  append_doubles(out, &state.after, 1);
  return out;
}

std::optional<SpinQuantState> state_from(std::string_view bytes, const Rotations& shapes) {
  if (!bytes.starts_with(magic)) return std::nullopt;
  bytes.remove_prefix(magic.size());
  const std::size_t line = bytes.find('\n');
  if (line == std::string_view::npos) return std::nullopt;
  const Json head = Json::parse(bytes.substr(0, line), nullptr, false);
  bytes.remove_prefix(line + 1);
  const auto size = [&](const char* name) {
    return head.is_object() && head.contains(name) && head[name].is_number_unsigned() ? head[name].get<std::int64_t>()
                                                                                      : std::int64_t{-1};
  };
  SpinQuantState state;
  state.steps = size("steps");
  const std::int64_t losses = size("losses");
  const std::int64_t head_dim = shapes.heads.empty() ? 0 : shapes.heads[0].size(0);
  if (state.steps < 0 || losses != state.steps || size("hidden") != shapes.residual.size(0) ||
      size("blocks") != static_cast<std::int64_t>(shapes.heads.size()) || size("head_dim") != head_dim)
    return std::nullopt;
  const auto matrix = [&](const at::Tensor& like) {
    at::Tensor m = at::empty(like.sizes(), at::TensorOptions(at::kDouble));
    if (!take_doubles(bytes, m.data_ptr<double>(), m.numel())) m.reset();
    return m;
  };
  state.rotations.residual = matrix(shapes.residual);
  for (const at::Tensor& like : shapes.heads) state.rotations.heads.push_back(matrix(like));
  if (bytes.size() != (static_cast<std::size_t>(losses) + 2) * sizeof(double)) return std::nullopt;
  state.losses.resize(static_cast<std::size_t>(losses));
  take_doubles(bytes, state.losses.data(), losses);
  take_doubles(bytes, &state.before, 1);
  take_doubles(bytes, &state.after, 1);
  return state;
}

SpinQuantState train_rotations(const SpinQuantObjective& objective, const at::Tensor& ids,
                               const SpinQuantSchedule& schedule, SpinQuantState state, const SpinQuantWatch& watch) {
  if (ids.dim() != 2 || ids.size(0) < 1) throw std::logic_error("training needs one sequence or more");
  const c10::InferenceMode off(false);
  std::vector<CayleySgd> descents;
  for (std::size_t i = 0; i <= objective.blocks(); ++i)
    descents.emplace_back(schedule.seed, i == 0 ? "spinquant residual" : "spinquant head " + std::to_string(i - 1));

  if (state.steps >= schedule.steps) return state;
  if (state.steps == 0) state.before = probe_loss(objective, ids, schedule, state.rotations);
  while (state.steps < schedule.steps) {
    const std::int64_t step = state.steps;
    const double rate = schedule.rate * cosine_decay(step, schedule.steps);
    const auto [loss, gradient] =
        objective.gradient(state.rotations, rows_of_ids(ids, batch_of(step, ids.size(0), schedule)));
    if (!std::isfinite(loss)) diverged("the loss", step, schedule, rate);
    const std::vector<at::Tensor> slopes = all(gradient);
    for (const at::Tensor& slope : slopes)
      if (!at::isfinite(slope).all().item<bool>()) diverged("a gradient", step, schedule, rate);
    state.rotations.residual = descents[0].step(state.rotations.residual, slopes[0], rate, step);
    for (std::size_t b = 0; b < objective.blocks(); ++b)
      state.rotations.heads[b] = descents[b + 1].step(state.rotations.heads[b], slopes[b + 1], rate, step);
    state.losses.push_back(loss);
    state.steps = step + 1;
    if (watch.keep && state.steps < schedule.steps && state.steps % schedule.checkpoint_every == 0) watch.keep(state);
    if (watch.step) watch.step(state.steps, schedule.steps);
  }
  state.after = probe_loss(objective, ids, schedule, state.rotations);
  if (!std::isfinite(state.after)) diverged("the loss", schedule.steps - 1, schedule, 0);
  if (watch.keep) watch.keep(state);
  return state;
}

}  // namespace stamp::training
