// Zero-shot questions as work items: lm-evaluation-harness's rule for ids, rows and targets of a batch, and scores of
// batches against whole sequences run one by one.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <cmath>

#include "base/error.h"
#include "models/decoder/decoder_network.h"
#include "models/task_workload.h"
#include "support/message.h"
#include "unit/models/fixtures.h"

using namespace stamp;
using stamp::test::lacks;
using Ids = std::vector<std::int32_t>;

namespace {

// Longest match among words, single bytes otherwise; words have ids from 256.
class WordTokenizer : public Tokenizer {
 public:
  explicit WordTokenizer(std::vector<std::string> words, bool prepends = false)
      : words_(std::move(words)), prepends_(prepends) {}
  std::vector<std::int32_t> encode(std::string_view text, bool) const override {
    Ids ids;
    while (!text.empty()) {
      std::size_t best = 1, id = static_cast<unsigned char>(text[0]);
      for (std::size_t w = 0; w < words_.size(); ++w)
        if (words_[w].size() > best && text.starts_with(words_[w])) {
          best = words_[w].size();
          id = 256 + w;
        }
      ids.push_back(static_cast<std::int32_t>(id));
      text.remove_prefix(best);
    }
    return ids;
  }
  std::string decode(const std::vector<std::int32_t>&) const override { return ""; }
  std::int64_t vocabulary() const override { return 300; }
  std::int64_t bos() const override { return 1; }
  bool prepends_bos() const override { return prepends_; }
  std::string kind() const override { return "words"; }
  std::string digest() const override { return "0123456789abcdef"; }

 private:
  std::vector<std::string> words_;
  bool prepends_;
};

TaskItem item_of(std::vector<std::string> contexts, std::vector<std::string> continuations) {
  TaskItem item;
  item.contexts = std::move(contexts);
  item.continuations = std::move(continuations);
  return item;
}

Ids bytes(const std::string& text) {
  return Ids(text.begin(), text.end());
}

std::vector<std::int64_t> values_of(const at::Tensor& t) {
  const at::Tensor whole = t.contiguous();
  const std::int64_t* p = whole.const_data_ptr<std::int64_t>();
  return {p, p + whole.numel()};
}

TaskWorkload workload_of(std::vector<EncodedQuestion> questions, bool leak_free, std::int64_t batch_rows = 2048) {
  TaskSettings settings;
  settings.task = "made_up";
  settings.metric = "acc";
  settings.leak_free = leak_free;
  settings.batch_rows = batch_rows;
  return TaskWorkload(std::move(questions), settings);
}

// Contexts {5, 6, 7} and {8}; candidates {1, 2, 3}, {4} behind the first, {2, 9} behind the second.
EncodedQuestion small_question() {
  EncodedQuestion q;
  q.contexts = {{5, 6, 7}, {8}};
  q.candidates = {{0, {1, 2, 3}}, {0, {4}}, {1, {2, 9}}};
  return q;
}

}  // namespace

TEST_CASE("context and continuation are encoded together, the continuation is the tail", "[task_workload]") {
  const WordTokenizer t({" cd", "yz"});
  const EncodedQuestion plain = encode_question(item_of({"ab"}, {" cd", " ce"}), t, -1, 300, "here");
  CHECK(plain.contexts == std::vector<Ids>{bytes("ab")});
  CHECK(plain.candidates[0].ids == Ids{256});
  CHECK(plain.candidates[1].ids == bytes(" ce"));
  // A word across the border: behind as many ids as the context has alone lies what is scored, as in the harness.
  const EncodedQuestion across = encode_question(item_of({"xy"}, {"zab"}), t, -1, 300, "here");
  CHECK(across.contexts == std::vector<Ids>{bytes("xy")});
  CHECK(across.candidates[0].ids == bytes("ab"));
}

TEST_CASE("white space at the end of a context moves to the continuation", "[task_workload]") {
  const WordTokenizer t({"  c"});
  const EncodedQuestion q = encode_question(item_of({"ab "}, {" cd"}), t, -1, 300, "here");
  CHECK(q.contexts == std::vector<Ids>{bytes("ab")});
  CHECK(q.candidates[0].ids == Ids{256, 'd'});
}

TEST_CASE("BOS stands before every context and is not scored", "[task_workload]") {
  const WordTokenizer t({});
  const EncodedQuestion q = encode_question(item_of({"ab", "c"}, {" d"}), t, 1, 300, "here");
  CHECK(q.contexts == std::vector<Ids>{{1, 'a', 'b'}, {1, 'c'}});
  REQUIRE(q.candidates.size() == 2);
  CHECK(q.candidates[1].context == 1);
  CHECK(q.candidates[1].ids == bytes(" d"));
}

TEST_CASE("what cannot be scored says which item", "[task_workload]") {
  const WordTokenizer t({"abc"});
  const auto fault = [&](const TaskItem& item, std::int64_t vocabulary = 300) {
    return stamp::test::data_error([&] { encode_question(item, t, -1, vocabulary, "file: item 3"); });
  };
  CHECK(lacks(fault(item_of({"  "}, {" x"})), "file: item 3: the context makes no tokens") == "");
  CHECK(lacks(fault(item_of({"ab"}, {"c"})), "file: item 3: candidate 0 makes no tokens of its own") == "");
  CHECK(lacks(fault(item_of({"abc"}, {" x"}), 200), "made id 256, the model knows ids up to 199") == "");
}

TEST_CASE("leak-free: every context once, candidates continue it untransformed", "[task_workload]") {
  const TaskWorkload w = workload_of({small_question()}, true);
  REQUIRE(w.count() == 1);
  const WorkItem item = w.item(0);
  // The last id of a candidate is never fed.
  CHECK(values_of(item.inputs.at("ids")) == std::vector<std::int64_t>{5, 6, 7, 8, 1, 2, 2});
  REQUIRE(item.segments.size() == 4);
  const auto is = [&](std::size_t i, std::int64_t rows, std::int64_t position, std::int64_t parent, bool transformed) {
    const Segment& s = item.segments[i];
    return s.rows == rows && s.position == position && s.parent == parent && s.transformed == transformed;
  };
  CHECK(is(0, 3, 0, -1, true));
  CHECK(is(1, 1, 0, -1, true));
  CHECK(is(2, 2, 3, 0, false));  // {1, 2}; {4} has no rows of its own
  CHECK(is(3, 1, 1, 1, false));
  CHECK(values_of(item.inputs.at("targets")) ==
        std::vector<std::int64_t>{2, 1, 4, 2, 5, 3, /* {4} */ 2, 4, /* {2, 9} */ 3, 2, 6, 9});
  const std::vector<ScoredSpan> spans = w.spans(0);
  REQUIRE(spans.size() == 3);
  CHECK((spans[0].first == 0 && spans[0].count == 3));
  CHECK((spans[1].first == 3 && spans[1].count == 1));
  CHECK((spans[2].first == 4 && spans[2].count == 2 && spans[2].candidate == 2));
}

TEST_CASE("prefill: every candidate is one transformed sequence", "[task_workload]") {
  const TaskWorkload w = workload_of({small_question()}, false);
  const WorkItem item = w.item(0);
  CHECK(values_of(item.inputs.at("ids")) == std::vector<std::int64_t>{5, 6, 7, 1, 2, 5, 6, 7, 8, 2});
  REQUIRE(item.segments.size() == 3);
  for (const Segment& s : item.segments) CHECK((s.transformed && s.parent == -1 && s.position == 0));
  CHECK(values_of(item.inputs.at("targets")) == std::vector<std::int64_t>{2, 1, 3, 2, 4, 3, 7, 4, 8, 2, 9, 9});
}

TEST_CASE("batches hold whole questions and no more rows than asked, one question at least", "[task_workload]") {
  const std::vector<EncodedQuestion> five(5, small_question());  // 7 rows each
  CHECK(workload_of(five, true, 14).count() == 3);
  CHECK(workload_of(five, true, 20).count() == 3);
  CHECK(workload_of(five, true, 21).count() == 2);
  CHECK(workload_of(five, true, 1).count() == 5);
  const TaskWorkload w = workload_of(five, true, 14);
  CHECK(w.rows() == 35);
  CHECK(w.spans(1)[0].question == 2);
  CHECK(w.spans(2).size() == 3);
}

TEST_CASE("scores of batches are those of whole sequences run alone", "[task_workload]") {
  const auto checkpoint = test::open_fixture("llama_tiny_untied_bias");
  if (!checkpoint) return;
  DecoderNetwork network(std::make_shared<DecoderSource>(checkpoint));
  const std::vector<std::int64_t> stored = test::ids_of(*checkpoint, "in.ids");
  const Ids ids(stored.begin(), stored.end());
  const auto slice = [&](std::size_t first, std::size_t count) {
    return Ids(ids.begin() + static_cast<std::ptrdiff_t>(first),
               ids.begin() + static_cast<std::ptrdiff_t>(first + count));
  };
  std::vector<EncodedQuestion> questions(3);
  questions[0].contexts = {slice(0, 5)};
  questions[0].candidates = {{0, slice(5, 4)}, {0, slice(6, 1)}, {0, slice(2, 3)}};
  questions[1].contexts = {slice(3, 1), slice(1, 6)};
  questions[1].candidates = {{0, slice(4, 2)}, {1, slice(4, 2)}};
  questions[2].contexts = {slice(2, 7)};
  questions[2].candidates = {{0, slice(1, 2)}};

  struct Score {
    double log_likelihood = 0;
    bool greedy = true;
  };
  // The slow twin: one whole sequence, all logits, log-softmax in double.
  const auto alone = [&](const Ids& context, const Ids& candidate) {
    Ids all = context;
    all.insert(all.end(), candidate.begin(), candidate.end() - 1);
    WorkItem item;
    at::Tensor input = at::empty({static_cast<std::int64_t>(all.size())}, at::TensorOptions(at::kLong));
    at::Tensor rows = at::empty({static_cast<std::int64_t>(candidate.size())}, at::TensorOptions(at::kLong));
    std::copy(all.begin(), all.end(), input.data_ptr<std::int64_t>());
    for (std::size_t j = 0; j < candidate.size(); ++j)
      rows.data_ptr<std::int64_t>()[j] = static_cast<std::int64_t>(context.size() - 1 + j);
    item.inputs["ids"] = input;
    item.inputs["want_logits"] = rows;
    item.inputs["without_loss"] = rows;
    const at::Tensor logits = network.run(item).named.at("logits").contiguous();
    Score score;
    for (std::size_t j = 0; j < candidate.size(); ++j) {
      const float* row = logits.const_data_ptr<float>() + static_cast<std::ptrdiff_t>(j) * logits.size(1);
      double sum = 0;
      std::int64_t top = 0;
      for (std::int64_t v = 0; v < logits.size(1); ++v) {
        sum += std::exp(static_cast<double>(row[v]));
        if (row[v] > row[top]) top = v;
      }
      score.log_likelihood += static_cast<double>(row[candidate[j]]) - std::log(sum);
      score.greedy = score.greedy && top == candidate[j];
    }
    return score;
  };

  for (const bool leak_free : {true, false})
    for (const std::int64_t batch_rows : {1, 20, 2048}) {
      const TaskWorkload w = workload_of(questions, leak_free, batch_rows);
      std::size_t scored = 0;
      for (std::int64_t i = 0; i < w.count(); ++i) {
        const Outputs outputs = network.run(w.item(i));
        const at::Tensor p = outputs.named.at("target_logprob"), g = outputs.named.at("target_greedy");
        CHECK(outputs.named.count("token_nll") == 0);
        for (const ScoredSpan& span : w.spans(i)) {
          const EncodedQuestion& q = questions[static_cast<std::size_t>(span.question)];
          const EncodedQuestion::Candidate& c = q.candidates[static_cast<std::size_t>(span.candidate)];
          const Score expected = alone(q.contexts[c.context], c.ids);
          Score ours;
          for (std::int64_t t = span.first; t < span.first + span.count; ++t) {
            ours.log_likelihood += static_cast<double>(p.const_data_ptr<float>()[t]);
            ours.greedy = ours.greedy && g.const_data_ptr<std::int64_t>()[t] != 0;
          }
          INFO("question " << span.question << ", candidate " << span.candidate << ", leak_free " << leak_free);
          CHECK(ours.log_likelihood == Approx(expected.log_likelihood).margin(1e-5));
          CHECK(ours.greedy == expected.greedy);
          ++scored;
        }
      }
      CHECK(scored == 6);
    }
}
