// The head in pieces: whatever the pieces, and whether they are held or read anew for every item.
#include "models/decoder/decoder_head.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>

#include <cmath>
#include <cstring>
#include <random>

#include "models/decoder/decoder_network.h"
#include "models/kernels/elementwise.h"
#include "models/tensors.h"
#include "support/catch.h"

using namespace stamp;

namespace {

// A V x h float32 tensor as it would lie in a file.
struct StoredMatrix {
  std::vector<float> values;
  TensorInfo info;
  StoredMatrix(std::int64_t rows, std::int64_t columns) : values(static_cast<std::size_t>(rows * columns)) {
    std::mt19937 generator(3);
    std::normal_distribution<float> normal;
    for (float& v : values) v = normal(generator);
    info.name = "head";
    info.shape = {rows, columns};
    info.data = reinterpret_cast<const std::byte*>(values.data());
    info.bytes = values.size() * sizeof(float);
  }
};

at::Tensor random_rows(std::int64_t rows, std::int64_t columns) {
  at::Tensor out = fresh_matrix(rows, columns);
  std::mt19937 generator(8);
  std::normal_distribution<float> normal;
  for (std::int64_t i = 0; i < out.numel(); ++i) out.data_ptr<float>()[i] = normal(generator);
  return out;
}

at::Tensor integers(const std::vector<std::int64_t>& values) {
  at::Tensor out = at::empty({static_cast<std::int64_t>(values.size())}, at::TensorOptions(at::kLong));
  std::copy(values.begin(), values.end(), out.data_ptr<std::int64_t>());
  return out;
}

bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  return a.sizes() == b.sizes() && a.scalar_type() == b.scalar_type() &&
         std::memcmp(a.const_data_ptr(), b.const_data_ptr(), a.nbytes()) == 0;
}

double distance(const at::Tensor& a, const at::Tensor& b) {
  double top = 0;
  for (std::int64_t i = 0; i < a.numel(); ++i)
    top = std::max(top, std::abs(static_cast<double>(a.const_data_ptr<float>()[i]) -
                                 static_cast<double>(b.const_data_ptr<float>()[i])));
  return top;
}

Outputs outputs_of(const DecoderHead& head, const at::Tensor& rows, const WorkItem& item, float cap) {
  HeadOutputs outputs(item, head.vocabulary(), cap);
  for (std::size_t i = 0; i < head.pieces(); ++i) outputs.add(rows, head.piece(i), head.first_row(i));
  return outputs.finish();
}

constexpr std::int64_t vocabulary = 203, width = 24, tokens = 300;

WorkItem item_of(bool scored) {
  WorkItem item;
  std::vector<std::int64_t> ids;
  for (std::int64_t i = 0; i < tokens; ++i) ids.push_back(i * 37 % vocabulary);
  item.inputs["ids"] = integers(ids);
  item.inputs["want_logits"] = integers({0, 299, 7});
  if (scored) item.inputs["targets"] = integers({5, 17, 5, 202, 299, 0}).reshape({3, 2});
  return item;
}

}  // namespace

TEST_CASE("a head in pieces gives the losses, scores and logits of the whole head") {
  const StoredMatrix stored(vocabulary, width);
  const at::Tensor rows = random_rows(tokens, width);
  const DecoderHead whole(stored.info);
  REQUIRE(whole.pieces() == 1);
  for (const float cap : {0.0f, 3.0f})
    for (const bool scored : {false, true}) {
      const WorkItem item = item_of(scored);
      const Outputs expected = outputs_of(whole, rows, item, cap);
      for (const std::int64_t piece : {64, 100, 1}) {
        const DecoderHead head(stored.info, piece);
        const Outputs got = outputs_of(head, rows, item, cap);
        REQUIRE(got.named.size() == expected.named.size());
        CHECK(distance(got.named.at("logits"), expected.named.at("logits")) < 1e-5);
        if (scored) {
          CHECK(distance(got.named.at("target_logprob"), expected.named.at("target_logprob")) < 1e-5);
          CHECK(same_bits(got.named.at("target_greedy"), expected.named.at("target_greedy")));
        } else {
          CHECK(distance(got.named.at("token_nll"), expected.named.at("token_nll")) < 1e-5);
        }
      }
    }
}

TEST_CASE("scores are losses with the sign turned, greedy where no token is likelier") {
  const StoredMatrix stored(vocabulary, width);
  const at::Tensor rows = random_rows(tokens, width);
  const DecoderHead head(stored.info, 64);
  const at::Tensor logits = head.logits(rows);
  WorkItem scored = item_of(true), plain = item_of(false);
  std::int64_t best = 0;
  for (std::int64_t j = 0; j < vocabulary; ++j)
    if (const_view(logits).row(5)[j] > const_view(logits).row(5)[best]) best = j;
  scored.inputs["targets"] = integers({4, 5 * 37 % vocabulary, 5, best, 5, best == 0 ? 1 : 0}).reshape({3, 2});
  const Outputs a = outputs_of(head, rows, scored, 0), b = outputs_of(head, rows, plain, 0);
  CHECK(a.named.at("target_logprob").const_data_ptr<float>()[0] ==
        Approx(-b.named.at("token_nll").const_data_ptr<float>()[4]).epsilon(1e-5));
  const std::int64_t* greedy = a.named.at("target_greedy").const_data_ptr<std::int64_t>();
  CHECK(greedy[1] == 1);
  CHECK(greedy[2] == 0);
}

TEST_CASE("a held head and one that is read anew give equal bits, changed or not") {
  const StoredMatrix stored(vocabulary, width);
  const at::Tensor rows = random_rows(tokens, width);
  const std::shared_ptr<const FeatureTransform> rotation = randomized_hadamard(width, 4, "test");
  for (const bool changed : {false, true}) {
    DecoderHead held(stored.info, 64), read(stored.info, 64);
    if (changed)
      for (DecoderHead* head : {&held, &read}) {
        head->scale(std::vector<double>(width, 1.5));
        head->rotate(rotation);
      }
    held.hold(true);
    CHECK(held.held());
    CHECK_FALSE(read.held());
    const Outputs a = outputs_of(held, rows, item_of(false), 0), b = outputs_of(read, rows, item_of(false), 0);
    CHECK(same_bits(a.named.at("token_nll"), b.named.at("token_nll")));
    CHECK(same_bits(a.named.at("logits"), b.named.at("logits")));
    CHECK_THROWS_AS(held.scale(std::vector<double>(width, 1.0)), std::logic_error);
  }
  // W diag(f) Q on rows x Q / f is W x.
  DecoderHead turned(stored.info, 64);
  turned.scale(std::vector<double>(width, 2.0));
  turned.rotate(rotation);
  at::Tensor x = contiguous_copy(rows);
  scale_by(view(x), 0.5f);
  rotation->apply(view(x));
  CHECK(distance(turned.logits(x), DecoderHead(stored.info, 64).logits(rows)) < 1e-4);
  CHECK(distance(turned.whole(), DecoderHead(stored.info, 64).whole()) > 0.1);
}
