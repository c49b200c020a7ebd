#include "models/task_workload.h"

#include <ATen/ops/empty.h>

#include <algorithm>

#include "base/error.h"
#include "tasks/text_rules.h"

namespace stamp {
namespace {

using Ids = std::vector<std::int32_t>;

// Rows of one work item under construction.
struct Layout {
  Segments segments;
  std::vector<const Ids*> parts;      // ids of the rows, part by part ...
  std::vector<std::int64_t> used;     // ... and how many of each
  std::vector<std::int64_t> targets;  // row, id, row, id, ...
  std::vector<ScoredSpan> spans;
  std::int64_t rows = 0;

  std::int64_t add(const Ids& ids, std::int64_t count) {  // first row
    parts.push_back(&ids);
    used.push_back(count);
    rows += count;
    return rows - count;
  }
  void add_segment(std::int64_t count, std::int64_t position, std::int64_t parent, bool transformed) {
    Segment s;
    s.rows = count;
    s.position = position;
    s.parent = parent;
    s.transformed = transformed;
    segments.push_back(s);
  }
};

std::int64_t size_of(const Ids& ids) {
  return static_cast<std::int64_t>(ids.size());
}

// Targets of a candidate whose first id is told by row `before` and whose own rows begin at `own`.
void add_targets(Layout& layout, const Ids& ids, std::int64_t before, std::int64_t own) {
  for (std::int64_t j = 0; j < size_of(ids); ++j) {
    layout.targets.push_back(j == 0 ? before : own + j - 1);
    layout.targets.push_back(ids[static_cast<std::size_t>(j)]);
  }
}

void lay_out(Layout& layout, const EncodedQuestion& q, std::int64_t index, bool leak_free) {
  std::vector<std::int64_t> segment, last_row;  // of every context
  if (leak_free)
    for (const Ids& context : q.contexts) {
      segment.push_back(static_cast<std::int64_t>(layout.segments.size()));
      last_row.push_back(layout.add(context, size_of(context)) + size_of(context) - 1);
      layout.add_segment(size_of(context), 0, -1, true);
    }
  for (std::size_t c = 0; c < q.candidates.size(); ++c) {
    const EncodedQuestion::Candidate& candidate = q.candidates[c];
    const Ids& context = q.contexts[candidate.context];
    const std::int64_t fed = size_of(candidate.ids) - 1;
    const auto first = static_cast<std::int64_t>(layout.targets.size() / 2);
    if (leak_free) {
      const std::int64_t own = fed > 0 ? layout.add(candidate.ids, fed) : 0;
      if (fed > 0) layout.add_segment(fed, size_of(context), segment[candidate.context], false);
      add_targets(layout, candidate.ids, last_row[candidate.context], own);
    } else {
      const std::int64_t before = layout.add(context, size_of(context)) + size_of(context) - 1;
      if (fed > 0) layout.add(candidate.ids, fed);
      layout.add_segment(size_of(context) + fed, 0, -1, true);
      add_targets(layout, candidate.ids, before, before + 1);
    }
    layout.spans.push_back({index, static_cast<std::int64_t>(c), first, size_of(candidate.ids)});
  }
}

std::int64_t rows_of(const EncodedQuestion& q, bool leak_free) {
  Layout layout;
  lay_out(layout, q, 0, leak_free);
  return layout.rows;
}

at::Tensor tensor_of(const std::vector<std::int64_t>& values, at::IntArrayRef shape) {
  at::Tensor t = at::empty(shape, at::TensorOptions(at::kLong));
  std::copy(values.begin(), values.end(), t.data_ptr<std::int64_t>());
  return t;
}

void check_ids(const Ids& ids, std::int64_t vocabulary, const std::string& where) {
  for (const std::int32_t id : ids)
    if (id < 0 || id >= vocabulary)
      throw DataError(where + ": the tokenizer made id " + std::to_string(id) + ", the model knows ids up to " +
                      std::to_string(vocabulary - 1));
}

std::int64_t bos_of(const std::string& choice, const Tokenizer& tokenizer) {
  if (choice == "none" || (choice == "auto" && !tokenizer.prepends_bos())) return -1;
  if (tokenizer.bos() < 0)
    throw DataError("zero_shot.bos: " + choice + ": the model's tokenizer has no BOS token; allowed: none, auto");
  return tokenizer.bos();
}

}  // namespace

EncodedQuestion encode_question(const TaskItem& item, const Tokenizer& tokenizer, std::int64_t bos,
                                std::int64_t vocabulary, const std::string& where) {
  EncodedQuestion q;
  q.gold = item.gold;
  q.characters = item.characters;
  std::vector<std::string> contexts, spaces;  // the space that moves to the continuation
  for (const std::string& text : item.contexts) {
    const std::size_t kept = text.size() - trailing_space(text);
    contexts.push_back(text.substr(0, kept));
    spaces.push_back(text.substr(kept));
    Ids ids = tokenizer.encode(contexts.back(), false);
    if (bos >= 0) ids.insert(ids.begin(), static_cast<std::int32_t>(bos));
    if (ids.empty()) throw DataError(where + ": the context makes no tokens");
    check_ids(ids, vocabulary, where);
    q.contexts.push_back(std::move(ids));
  }
  for (std::size_t c = 0; c < item.candidates(); ++c) {
    const std::size_t context = std::min(c, contexts.size() - 1);
    Ids whole = tokenizer.encode(contexts[context] + spaces[context] + item.continuation(c), false);
    if (bos >= 0) whole.insert(whole.begin(), static_cast<std::int32_t>(bos));
    const std::size_t before = q.contexts[context].size();
    if (whole.size() <= before)
      throw DataError(where + ": candidate " + std::to_string(c) + " makes no tokens of its own behind its context");
    check_ids(whole, vocabulary, where);
    q.candidates.push_back({context, Ids(whole.begin() + static_cast<std::ptrdiff_t>(before), whole.end())});
  }
  return q;
}

TaskWorkload::TaskWorkload(std::vector<EncodedQuestion> questions, TaskSettings settings)
    : questions_(std::move(questions)), settings_(std::move(settings)) {
  std::int64_t in_batch = 0;
  for (std::size_t i = 0; i < questions_.size(); ++i) {
    const std::int64_t own = rows_of(questions_[i], settings_.leak_free);
    if (batches_.empty() || in_batch + own > settings_.batch_rows) {
      batches_.push_back({i, i});
      in_batch = 0;
    }
    batches_.back().last = i + 1;
    in_batch += own;
    rows_ += own;
  }
}

Json TaskWorkload::description() const {
  Json description = settings_.description;
  description["rows"] = rows_;
  return description;
}

WorkItem TaskWorkload::item(std::int64_t i) const {
  const Batch& batch = batches_.at(static_cast<std::size_t>(i));
  Layout layout;
  for (std::size_t q = batch.first; q < batch.last; ++q)
    lay_out(layout, questions_[q], static_cast<std::int64_t>(q), settings_.leak_free);
  std::vector<std::int64_t> ids;
  ids.reserve(static_cast<std::size_t>(layout.rows));
  for (std::size_t p = 0; p < layout.parts.size(); ++p)
    ids.insert(ids.end(), layout.parts[p]->begin(), layout.parts[p]->begin() + layout.used[p]);
  WorkItem item;
  item.index = i;
  item.inputs["ids"] = tensor_of(ids, {layout.rows});
  item.inputs["targets"] = tensor_of(layout.targets, {static_cast<std::int64_t>(layout.targets.size() / 2), 2});
  item.segments = std::move(layout.segments);
  return item;
}

std::vector<ScoredSpan> TaskWorkload::spans(std::int64_t i) const {
  const Batch& batch = batches_.at(static_cast<std::size_t>(i));
  Layout layout;
  for (std::size_t q = batch.first; q < batch.last; ++q)
    lay_out(layout, questions_[q], static_cast<std::int64_t>(q), settings_.leak_free);
  return std::move(layout.spans);
}

std::unique_ptr<TaskWorkload> task_workload(const std::string& name, const ZeroShotSpec& spec,
                                            const Tokenizer& tokenizer, std::int64_t vocabulary) {
  const TaskPlugin& plugin = task(name);
  const std::int64_t bos = bos_of(spec.bos, tokenizer);
  TaskData data = load_task(name, spec.data);
  const auto all = static_cast<std::int64_t>(data.items.size());
  const std::int64_t count = spec.items == 0 ? all : std::min(spec.items, all);
  std::vector<EncodedQuestion> questions;
  for (std::int64_t i = 0; i < count; ++i)
    questions.push_back(encode_question(data.items[static_cast<std::size_t>(i)], tokenizer, bos, vocabulary,
                                        data.path + ": item " + std::to_string(i + 1)));
  TaskSettings settings;
  settings.task = name;
  settings.metric = plugin.normalized ? "acc_norm" : "acc";
  settings.greedy = plugin.greedy;
  settings.leak_free = spec.rule == "leak_free";
  settings.batch_rows = spec.batch_rows;
  settings.description = {{"task", name},      {"file", data.file}, {"digest", data.digest},
                          {"path", data.path}, {"items", count},    {"of", all},
                          {"rule", spec.rule}, {"bos", bos >= 0},   {"tokenizer", tokenizer.digest()}};
  settings.protocol = "zero-shot " + name + ", " + (count == all ? "all " : "first ") + std::to_string(count) +
                      " items, file " + data.file + " sha " + data.digest.substr(0, 8) +
                      ", prompt of lm-evaluation-harness, tokenizer " + tokenizer.digest().substr(0, 8) + ", " +
                      (bos >= 0 ? "bos" : "no bos") + ", " + spec.rule;
  return std::make_unique<TaskWorkload>(std::move(questions), std::move(settings));
}

}  // namespace stamp
