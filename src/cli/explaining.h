// Explanations of trials as the verbs need them: the model's description from a record or from its files.
#pragma once
#include <vector>

#include "cli/run_folder.h"
#include "explain/explain.h"
#include "report/page.h"

namespace stamp {

// What a record says of its model where it says enough, else the headers of the model's files. DataError when neither
// can be had.
Explanation explain_trial(const std::string& id, const Json& spec, const Record* record, const std::string& model_path);

// Of every finished trial that says enough of its model; trials that are explained alike share one.
std::vector<PageExplanation> page_explanations(const ReportSource& source);

}  // namespace stamp
