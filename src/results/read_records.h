// Records from any text in the form of records.jsonl: a run folder's file, or a committed result that was unpacked.
#pragma once
#include <iosfwd>
#include <string>

#include "results/store.h"

namespace stamp {

// `name` stands for the text in notices. `with_slots` as in RunStore::read.
ReadRecords read_records(std::istream& in, const std::string& name, bool with_slots);

}  // namespace stamp
