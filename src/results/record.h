// One line of records.jsonl: everything known about a finished or failed trial. Product section 4.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "quant/slot_statistics.h"

namespace stamp {

struct Metric {
  std::string name;       // "perplexity"
  double value = 0;
  std::string unit;       // "", "nats", "dB", "s"
  std::string over;       // "windows"
  std::int64_t n = 0;
  std::optional<double> low, high;  // 95% interval over the n items, where it is defined
  std::string protocol;   // context 2048, 4 windows, text digest, tokenizer digest: never mixed in one column
  std::vector<double> items;        // per-item values for paired comparisons (window losses), may be empty
  bool lower_is_better = true;
};

struct SlotResult {
  std::string name;
  std::string kind;       // "linear input", "key cache", "value cache"
  SlotStatistics sums;
  std::string theorem;    // "" where Theorem 1's conditions hold, else why they do not
  std::int64_t high_tokens = 0;
};

struct Failure {
  std::string kind, message, phase;
};

struct Record {
  int schema = 1;
  std::string id;
  std::string status;     // "done" | "failed"
  Json spec;              // canonical
  std::vector<Metric> metrics;
  std::vector<SlotResult> slots;
  Json averages = Json::object();   // activation_bits, kv_bits, weight_bits
  Json bound = Json::object();      // over all slots: worst ratio and its slot, sums of error and b1..b4
  Json seeds = Json::object();
  Json data = Json::object();       // name, digest, tokens, protocol
  Json model = Json::object();      // name, digest, parameters, types
  Json code = Json::object();       // revision, dirty, build
  Json libraries = Json::object();
  Json hardware = Json::object();
  int threads = 0;
  std::string device = "cpu";
  std::map<std::string, double> timing_s;  // per phase
  std::uint64_t peak_memory_bytes = 0;
  std::vector<std::string> warnings;
  std::string finished;   // ISO 8601 UTC
  std::optional<Failure> failure;
};

// Row vectors of slots are summarised (see docs/records.md); sums, bounds and ratios are kept in full. Non-finite numbers
// are written as the strings "nan", "inf", "-inf". record_from_json(to_json(r)) keeps everything that is written.
Json to_json(const Record& record);
Record record_from_json(const Json& json);

}  // namespace stamp
