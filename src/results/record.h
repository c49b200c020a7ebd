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
  std::string name;  // "perplexity"
  double value = 0;
  std::string unit;  // "", "nats", "dB", "s"
  std::string over;  // "windows"
  std::int64_t n = 0;
  std::optional<double> low, high;  // 95% interval over the n items, where it is defined
  std::string protocol;             // context 2048, 4 windows, text digest, tokenizer digest: never mixed in one column
  std::vector<double> items;        // per-item values for paired comparisons (window losses), may be empty
  bool lower_is_better = true;
  std::optional<double> standard_error;  // of the mean over the n items, where it is defined
  // Average bits of the rows that were quantized while this metric was measured, where a pass has lengths of its own
  // (the record's `averages` are those of a whole window).
  std::optional<double> activation_bits, kv_bits;
  bool leak_free = false;  // no scored token was part of what a transform mixed (methods 2.11)
};

// Row vectors of a slot in at most 64 bands: rows [edges[i], edges[i + 1]), the first 16 alone, then ever wider ones.
// Every value is a mean over the rows of the band and over the samples.
struct RowBands {
  std::vector<std::int64_t> edges;
  std::vector<double> energy;  // ||t_i||^2
  std::vector<double> error;   // ||Q(t_i) - t_i||^2
  std::vector<double> bits;
};
// Bounds of the bands of `tokens` rows; `high_tokens` is always one of them.
std::vector<std::int64_t> band_edges(std::int64_t tokens, std::int64_t high_tokens);

struct SlotResult {
  std::string name;
  std::string kind;     // "linear input", "key cache", "value cache"
  SlotStatistics sums;  // after reading a record the row vectors are empty: see the next three
  std::string theorem;  // "" where Theorem 1's conditions hold, else why they do not
  std::int64_t high_tokens = 0;
  std::optional<RowBands> bands;       // of a record that was read
  std::optional<double> average_bits;  // of a record that was read
  std::optional<double> energy_share;  // of the first high_tokens rows; of a record that was read

  // Exact where the row vectors are at hand, as written otherwise.
  std::optional<double> bits() const;
  std::optional<double> share() const;
  std::optional<RowBands> rows() const;
  double ratio() const { return sums.b1 > 0 ? sums.error / sums.b1 : 0; }  // pooled error / B1
};

struct Failure {
  std::string kind, message, phase;
};

struct Record {
  int schema = 1;
  std::string id;
  std::string status;  // "done" | "failed"
  Json spec;           // canonical
  std::vector<Metric> metrics;
  std::vector<SlotResult> slots;
  Json averages = Json::object();  // activation_bits, kv_bits, weight_bits
  Json bound = Json::object();     // over all slots: worst ratio and its slot, sums of error and b1..b5
  // Slot -> the transform it got ("haar/5"), where each slot has one of several.
  Json transforms = Json::object();
  Json training = Json::array();  // history of a trained method: {"block" or "step", "loss", ...}
  Json seeds = Json::object();
  Json data = Json::object();   // name, digest, tokens, protocol
  Json model = Json::object();  // name, digest, parameters, types
  Json code = Json::object();   // revision, dirty, build
  Json libraries = Json::object();
  Json hardware = Json::object();
  int threads = 0;
  std::string device = "cpu";
  std::map<std::string, double> timing_s;  // per phase
  std::uint64_t peak_memory_bytes = 0;
  std::vector<std::string> warnings;
  std::string finished;  // ISO 8601 UTC
  std::optional<Failure> failure;
};

// Row vectors of slots are summarised (see docs/records.md); sums, bounds and ratios are kept in full. Non-finite
// numbers are written as the strings "nan", "inf", "-inf". record_from_json(to_json(r)) keeps everything that is
// written.
Json to_json(const Record& record);
Record record_from_json(const Json& json);  // DataError: not a record, another schema, a value of the wrong type

// A number as it stands in records, plans and exports.
Json json_number(double value);
double number_from_json(const Json& json);  // std::invalid_argument for anything else

const Metric* find_metric(const Record& record, const std::string& name);  // null when there is none

}  // namespace stamp
