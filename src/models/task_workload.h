// Zero-shot questions as work items: many questions go through the network together, every context once, and each
// scored token is a target. Specification methods 13.2, 13.3, 2.11.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "models/network.h"
#include "tasks/task.h"
#include "tokenizer/tokenizer.h"

namespace stamp {

// A question in token ids. A candidate's log-likelihood is that of its ids behind its context.
struct EncodedQuestion {
  struct Candidate {
    std::size_t context = 0;        // index into contexts
    std::vector<std::int32_t> ids;  // not empty
  };
  std::vector<std::vector<std::int32_t>> contexts;  // none empty
  std::vector<Candidate> candidates;
  std::int64_t gold = 0;
  std::vector<std::int64_t> characters;  // see TaskItem
};

// lm-evaluation-harness's rule: white space at the end of the context moves to the continuation; context and
// continuation are encoded together, the context alone, and the continuation is what lies behind as many ids as the
// context has. With `bos` (an id, -1 = none) in front of every context. DataError with `where` for a
// continuation or a context without ids, and for ids from `vocabulary` on.
EncodedQuestion encode_question(const TaskItem& item, const Tokenizer& tokenizer, std::int64_t bos,
                                std::int64_t vocabulary, const std::string& where);

// What of a work item's targets belongs to one candidate: `count` targets from `first` on.
struct ScoredSpan {
  std::int64_t question = 0, candidate = 0, first = 0, count = 0;
};

struct TaskSettings {
  std::string task;       // name
  std::string metric;     // "acc_norm" or "acc": what stands for the task in averages
  bool greedy = false;    // see TaskPlugin
  bool leak_free = true;  // contexts are transformed, continuations are not; else both as one sequence
  std::int64_t batch_rows = 2048;
  Json description = Json::object();
  std::string protocol;
};

// Work items: inputs "ids" (rows) and "targets" (m x 2: row, id), and segments. The last id of a continuation is never
// fed. With leak_free a context is one segment that all its candidates continue, and a candidate's rows are
// untransformed; otherwise every candidate is a sequence of its own, context included.
class TaskWorkload : public Workload {
 public:
  TaskWorkload(std::vector<EncodedQuestion> questions, TaskSettings settings);

  std::int64_t count() const override { return static_cast<std::int64_t>(batches_.size()); }
  WorkItem item(std::int64_t i) const override;
  std::int64_t tokens_per_item() const override { return 0; }  // sequences have lengths of their own
  Json description() const override;
  std::string protocol() const override { return settings_.protocol; }

  const TaskSettings& settings() const { return settings_; }
  const std::vector<EncodedQuestion>& questions() const { return questions_; }
  std::vector<ScoredSpan> spans(std::int64_t item) const;
  std::int64_t rows() const { return rows_; }  // of all items

 private:
  struct Batch {
    std::size_t first = 0, last = 0;  // questions
  };
  std::vector<EncodedQuestion> questions_;
  TaskSettings settings_;
  std::vector<Batch> batches_;
  std::int64_t rows_ = 0;
};

// The trial's questions of one task in the ids of `tokenizer`. DataError: no such file, malformed items, a BOS that the
// tokenizer lacks.
std::unique_ptr<TaskWorkload> task_workload(const std::string& task, const ZeroShotSpec& spec,
                                            const Tokenizer& tokenizer, std::int64_t vocabulary);

}  // namespace stamp
