// The zero-shot tasks, in the order they are listed to users: one line each.
#include "tasks/arc.h"
#include "tasks/boolq.h"
#include "tasks/hellaswag.h"
#include "tasks/lambada.h"
#include "tasks/openbookqa.h"
#include "tasks/piqa.h"
#include "tasks/winogrande.h"

namespace stamp {

const std::vector<TaskPlugin>& tasks() {
  static const std::vector<TaskPlugin> list{
      piqa_task(),       hellaswag_task(), arc_easy_task(), arc_challenge_task(),
      winogrande_task(), lambada_task(),   boolq_task(),    openbookqa_task(),
  };
  return list;
}

}  // namespace stamp
