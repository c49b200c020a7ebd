// Log-likelihoods of zero-shot questions in full precision, for scripts/reference/zero_shot.py:
//   task_dump MODEL ITEMS RULE BATCH_ROWS TASK...
// prints one JSON line a task: {task, digest, rows, seconds, items: [{gold, context, candidates: [{ids, loglik,
// greedy}]}]}, and prompts as texts under "prompts".
#include <c10/core/InferenceMode.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "base/error.h"
#include "models/task_workload.h"

using namespace stamp;

namespace {

using Clock = std::chrono::steady_clock;

Json scored(Network& network, const TaskWorkload& workload, double& seconds) {
  Json items = Json::array();
  for (const EncodedQuestion& q : workload.questions()) {
    Json item = {{"gold", q.gold}, {"candidates", Json::array()}};
    for (const EncodedQuestion::Candidate& c : q.candidates)
      item["candidates"].push_back({{"context", q.contexts[c.context]}, {"ids", c.ids}});
    items.push_back(std::move(item));
  }
  for (std::int64_t i = 0; i < workload.count(); ++i) {
    const WorkItem item = workload.item(i);
    const auto begin = Clock::now();
    const Outputs outputs = network.run(item);
    seconds += std::chrono::duration<double>(Clock::now() - begin).count();
    const float* log_probabilities = outputs.named.at("target_logprob").const_data_ptr<float>();
    const std::int64_t* greedy = outputs.named.at("target_greedy").const_data_ptr<std::int64_t>();
    for (const ScoredSpan& span : workload.spans(i)) {
      double sum = 0;
      bool all = true;
      for (std::int64_t t = span.first; t < span.first + span.count; ++t) {
        sum += static_cast<double>(log_probabilities[t]);
        all = all && greedy[t] != 0;
      }
      Json& c = items[static_cast<std::size_t>(span.question)]["candidates"][static_cast<std::size_t>(span.candidate)];
      c["loglik"] = sum;
      c["greedy"] = all;
    }
  }
  return items;
}

Json prompts(const std::string& name, std::int64_t count) {
  Json list = Json::array();
  const TaskData data = load_task(name, "auto");
  for (std::size_t i = 0; i < data.items.size() && (count == 0 || i < static_cast<std::size_t>(count)); ++i) {
    const TaskItem& item = data.items[i];
    list.push_back({{"contexts", item.contexts},
                    {"continuations", item.continuations},
                    {"gold", item.gold},
                    {"characters", item.characters}});
  }
  return list;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 6) {
    std::fprintf(stderr, "task_dump MODEL ITEMS RULE BATCH_ROWS TASK...\n");
    return 2;
  }
  try {
    const c10::InferenceMode no_gradients;
    ModelSpec spec;
    spec.path = argv[1];
    const auto model = open_model(spec);
    const auto network = model->build();
    network->pack();
    ZeroShotSpec zero_shot;
    zero_shot.items = std::atoll(argv[2]);
    zero_shot.rule = argv[3];
    zero_shot.batch_rows = std::atoll(argv[4]);
    for (int i = 5; i < argc; ++i) {
      const std::string name = argv[i];
      const auto begin = Clock::now();
      const auto workload = model->questions(zero_shot, name);
      const double encoding = std::chrono::duration<double>(Clock::now() - begin).count();
      double seconds = 0;
      Json out = workload->description();
      out["items"] = scored(*network, dynamic_cast<const TaskWorkload&>(*workload), seconds);
      out["encoding_s"] = encoding;
      out["seconds"] = seconds;
      out["prompts"] = prompts(name, zero_shot.items);
      std::printf("%s\n", out.dump().c_str());
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
