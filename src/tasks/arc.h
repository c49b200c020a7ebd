// ARC: grade-school science questions, easy and challenge sets. Clark et al. 2018, arXiv:1803.05457; methods 13.2.
#pragma once
#include "tasks/task.h"

namespace stamp {
TaskPlugin arc_easy_task();
TaskPlugin arc_challenge_task();
// Items in the form {question: {stem, choices: [{text, label}]}, answerKey}, which OpenBookQA's JSON lines share.
// `prefix` and `suffix` stand around the stem.
std::vector<TaskItem> science_questions(const TaskFile& file, const std::string& prefix, const std::string& suffix);
}  // namespace stamp
