#include "training/flatquant_block.h"

#include <ATen/ops/empty.h>

#include <cstring>

#include "base/error.h"
#include "base/json.h"

namespace stamp::training {
namespace {

// Every tensor of the block in one order.
template <class Block, class Visit>
void visit_tensors(Block& block, Visit visit) {
  for (auto& t : block.transforms)
    for (auto* tensor : {&t.diagonal, &t.left, &t.left_inverse, &t.right, &t.right_inverse}) visit(*tensor);
  for (auto& c : block.activation_clips)
    for (auto* tensor : {&c.low, &c.high}) visit(*tensor);
  for (auto& c : block.weight_clips)
    for (auto* tensor : {&c.low, &c.high}) visit(*tensor);
}

}  // namespace

// One line of JSON with the shapes, then the numbers.
std::string bytes_of(const FlatQuantBlock& block) {
  Json header = {
      {"losses", block.losses}, {"first", block.first_loss}, {"last", block.last_loss}, {"trained", block.trained}};
  std::string numbers;
  Json shapes = Json::array();
  visit_tensors(block, [&](const at::Tensor& t) {
    if (!t.defined()) {
      shapes.push_back(nullptr);
      return;
    }
    const at::Tensor values = t.to(at::kDouble).contiguous();
    shapes.push_back(values.sizes().vec());
    numbers.append(reinterpret_cast<const char*>(values.const_data_ptr<double>()),
                   static_cast<std::size_t>(values.numel()) * sizeof(double));
  });
  header["shapes"] = shapes;
  return header.dump() + "\n" + numbers;
}

FlatQuantBlock flatquant_block(std::string_view bytes) {
  const auto damaged = [] { return DataError("the stored FlatQuant block is damaged"); };
  const std::size_t line = bytes.find('\n');
  if (line == std::string_view::npos) throw damaged();
  const Json header = Json::parse(bytes.substr(0, line), nullptr, false);
  if (!header.is_object() || !header.contains("shapes")) throw damaged();
  FlatQuantBlock block;
  try {
    block.losses = header.at("losses").get<std::vector<double>>();
    block.first_loss = header.at("first").get<double>();
    block.last_loss = header.at("last").get<double>();
    block.trained = header.at("trained").get<bool>();
    std::size_t at = line + 1, index = 0;
    visit_tensors(block, [&](at::Tensor& t) {
      const Json& shape = header.at("shapes").at(index++);
      if (shape.is_null()) return;
      t = at::empty(shape.get<std::vector<std::int64_t>>(), at::TensorOptions(at::kDouble));
      const std::size_t size = static_cast<std::size_t>(t.numel()) * sizeof(double);
      if (bytes.size() - at < size) throw damaged();
      std::memcpy(t.data_ptr<double>(), bytes.data() + at, size);
      at += size;
    });
    if (at != bytes.size()) throw damaged();
  } catch (const nlohmann::json::exception&) {
    throw damaged();
  }
  return block;
}

}  // namespace stamp::training
