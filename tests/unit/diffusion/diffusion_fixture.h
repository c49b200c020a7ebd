// Tiny diffusion transformers: weights, inputs and diffusers' results in one file (specification models 17.1).
#pragma once
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "models/diffusion/diffusion_network.h"
#include "unit/models/fixtures.h"

namespace stamp::test {

constexpr const char* tiny_diffusers[] = {"pixart_tiny",        "pixart_tiny_micro", "dit_tiny",        "sana_tiny",
                                          "sana_tiny_posembed", "sana_tiny_qknorm",  "sana_tiny_sprint"};

inline std::string class_of(const std::string& fixture) {
  if (fixture.rfind("pixart", 0) == 0) return "PixArtTransformer2DModel";
  return fixture.rfind("dit", 0) == 0 ? "DiTTransformer2DModel" : "SanaTransformer2DModel";
}

// Null where the fixtures are not there. The class is in none of their configurations.
inline std::shared_ptr<const DiffusionSource> open_diffusion(const std::string& fixture) {
  auto checkpoint = open_fixture(fixture);
  return checkpoint ? std::make_shared<DiffusionSource>(std::move(checkpoint), class_of(fixture)) : nullptr;
}

inline at::Tensor floats(std::vector<std::int64_t> shape, const std::vector<float>& values) {
  at::Tensor out = at::empty(shape, at::TensorOptions(at::kFloat));
  std::copy(values.begin(), values.end(), out.data_ptr<float>());
  return out;
}
inline at::Tensor integers(std::vector<std::int64_t> shape, const std::vector<std::int64_t>& values) {
  at::Tensor out = at::empty(shape, at::TensorOptions(at::kLong));
  std::copy(values.begin(), values.end(), out.data_ptr<std::int64_t>());
  return out;
}

// The inputs of a fixture, of all its samples or of one.
inline WorkItem item_of(const Checkpoint& c, std::int64_t only = -1) {
  WorkItem item;
  for (const auto& [stored, name] : {std::pair<const char*, const char*>{"in.x", "latent"},
                                     {"in.t", "timestep"},
                                     {"in.y", "class"},
                                     {"in.text", "text"},
                                     {"in.mask", "text_mask"},
                                     {"in.resolution", "resolution"},
                                     {"in.aspect_ratio", "aspect_ratio"},
                                     {"in.guidance", "guidance"}}) {
    const TensorInfo* tensor = c.find(stored);
    if (!tensor) continue;
    const bool whole = tensor->type == DType::i64;
    at::Tensor all;
    if (whole && std::string(name) != "timestep") {
      all = integers(tensor->shape, ids_of(c, stored));
    } else if (whole) {
      const std::vector<std::int64_t> values = ids_of(c, stored);
      all = floats(tensor->shape, {values.begin(), values.end()});
    } else {
      all = floats(tensor->shape, floats_of(c, stored));
    }
    item.inputs[name] = only < 0 ? all : all.narrow(0, only, 1).contiguous();
  }
  return item;
}

inline double largest(const std::vector<float>& values) {
  double top = 0;
  for (const float v : values) top = std::max(top, std::abs(static_cast<double>(v)));
  return top;
}
// Largest difference, relative to the largest reference value; NaN counts as the largest.
inline double gap(const at::Tensor& ours, const std::vector<float>& reference) {
  if (ours.numel() != static_cast<std::int64_t>(reference.size())) return INFINITY;
  const float* values = ours.const_data_ptr<float>();
  double top = 0;
  for (std::size_t i = 0; i < reference.size(); ++i) {
    const double d = std::abs(static_cast<double>(values[i]) - static_cast<double>(reference[i]));
    if (!(d <= top)) top = d;
  }
  return top / largest(reference);
}
inline double gap(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor flat = b.contiguous();
  return gap(a.contiguous(),
             std::vector<float>(flat.const_data_ptr<float>(), flat.const_data_ptr<float>() + flat.numel()));
}

}  // namespace stamp::test
