#include "results/record.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "base/error.h"

namespace stamp {

namespace {

constexpr std::int64_t single_rows = 16;  // the first rows stand alone: sink, approximation band
constexpr std::int64_t most_bands = 62;   // room for one more edge at high_tokens

// Band means feed plots; five digits keep a record of 180 slots near a third of a megabyte.
double five_digits(double value) {
  if (value == 0 || !std::isfinite(value)) return value;
  const double scale = std::pow(10.0, 4 - std::floor(std::log10(std::fabs(value))));
  const double rounded = std::isfinite(scale) ? std::round(value * scale) / scale : value;
  return std::isfinite(rounded) ? rounded : value;
}

Json number_list(const std::vector<double>& values) {
  Json list = Json::array();
  for (double v : values) list.push_back(json_number(v));
  return list;
}

std::vector<double> band_means(const std::vector<double>& rows, const std::vector<std::int64_t>& edges,
                               std::int64_t samples) {
  std::vector<double> means;
  for (std::size_t i = 0; i + 1 < edges.size(); ++i) {
    double sum = 0;
    for (std::int64_t r = edges[i]; r < edges[i + 1]; ++r) sum += rows[static_cast<std::size_t>(r)];
    means.push_back(
        five_digits(sum / static_cast<double>((edges[i + 1] - edges[i]) * std::max<std::int64_t>(samples, 1))));
  }
  return means;
}

Json metric_json(const Metric& m) {
  Json j = Json::object();
  j["name"] = m.name;
  j["value"] = json_number(m.value);
  j["unit"] = m.unit;
  j["over"] = m.over;
  j["n"] = m.n;
  if (m.low && m.high) j["interval"] = {json_number(*m.low), json_number(*m.high)};
  if (m.standard_error) j["standard_error"] = json_number(*m.standard_error);
  if (m.activation_bits) j["activation_bits"] = json_number(*m.activation_bits);
  if (m.kv_bits) j["kv_bits"] = json_number(*m.kv_bits);
  if (m.leak_free) j["leak_free"] = true;
  j["protocol"] = m.protocol;
  j["lower_is_better"] = m.lower_is_better;
  if (!m.items.empty()) j["items"] = number_list(m.items);
  return j;
}

Json slot_json(const SlotResult& s) {
  const SlotStatistics& a = s.sums;
  Json j = Json::object();
  j["name"] = s.name;
  j["kind"] = s.kind;
  j["samples"] = a.samples;
  j["tokens"] = a.tokens;
  j["features"] = a.features;
  j["group"] = a.group;
  j["high_tokens"] = s.high_tokens;
  if (const auto bits = s.bits()) j["bits"] = json_number(*bits);
  j["signal"] = json_number(a.signal);
  j["error"] = json_number(a.error);
  j["b1"] = json_number(a.b1);
  j["b2"] = json_number(a.b2);
  j["b3"] = json_number(a.b3);
  j["b4"] = json_number(a.b4);
  if (!std::isnan(a.b5)) j["b5"] = json_number(a.b5);
  // Derived, for people and other programs; reading a record takes the sums.
  j["ratio"] = json_number(s.ratio());
  j["worst_ratio"] = json_number(a.worst_ratio);
  j["sqnr_db"] =
      json_number(a.error > 0 ? 10 * std::log10(a.signal / a.error) : std::numeric_limits<double>::infinity());
  if (const auto share = s.share()) j["energy_share"] = json_number(*share);
  j["theorem"] = s.theorem.empty() ? "holds" : s.theorem;
  if (const auto rows = s.rows()) {
    Json& bands = j["rows"] = Json::object();
    bands["edges"] = rows->edges;
    bands["energy"] = number_list(rows->energy);
    if (!rows->error.empty()) bands["error"] = number_list(rows->error);
    if (!rows->bits.empty()) bands["bits"] = number_list(rows->bits);
  }
  return j;
}

// Reads fields of one object; a fault names the field and what it holds.
class Fields {
 public:
  Fields(const Json& json, std::string where) : json_(json), where_(std::move(where)) {
    if (!json_.is_object()) fail("is not an object", json_);
  }
  const Json* get(const char* key) const {
    const auto it = json_.find(key);
    return it == json_.end() || it->is_null() ? nullptr : &*it;
  }
  const Json& need(const char* key) const {
    const Json* j = get(key);
    if (!j) throw DataError(fmt::format("record: {}{} is missing", where_, key));
    return *j;
  }
  std::string text(const char* key, const std::string& fallback = "") const {
    const Json* j = get(key);
    if (!j) return fallback;
    if (!j->is_string()) fail_at(key, "text", *j);
    return j->get<std::string>();
  }
  double number(const char* key, double fallback = 0) const {
    const Json* j = get(key);
    if (!j) return fallback;
    try {
      return number_from_json(*j);
    } catch (const std::invalid_argument&) {
      fail_at(key, "a number", *j);
    }
  }
  std::int64_t integer(const char* key, std::int64_t fallback = 0) const {
    const Json* j = get(key);
    if (!j) return fallback;
    if (!j->is_number_integer()) fail_at(key, "an integer", *j);
    return j->get<std::int64_t>();
  }
  bool flag(const char* key, bool fallback) const {
    const Json* j = get(key);
    if (!j) return fallback;
    if (!j->is_boolean()) fail_at(key, "true or false", *j);
    return j->get<bool>();
  }
  Json object(const char* key) const {
    const Json* j = get(key);
    if (!j) return Json::object();
    if (!j->is_object()) fail_at(key, "an object", *j);
    return *j;
  }
  const Json* list(const char* key) const {
    const Json* j = get(key);
    if (j && !j->is_array()) fail_at(key, "a list", *j);
    return j;
  }
  std::vector<double> numbers(const char* key) const {
    std::vector<double> out;
    if (const Json* j = list(key)) {
      for (const Json& v : *j) {
        try {
          out.push_back(number_from_json(v));
        } catch (const std::invalid_argument&) {
          fail_at(key, "a list of numbers", v);
        }
      }
    }
    return out;
  }
  std::string place(const char* key) const { return where_ + key; }

 private:
  static std::string shown(const Json& j) {
    std::string s = j.dump(-1, ' ', false, Json::error_handler_t::replace);
    return s.size() > 40 ? s.substr(0, 40) + "..." : s;
  }
  [[noreturn]] void fail(const char* what, const Json& j) const {
    throw DataError(fmt::format("record: {}{}: {}", where_, what, shown(j)));
  }
  [[noreturn]] void fail_at(const char* key, const char* expected, const Json& j) const {
    throw DataError(fmt::format("record: {}{} should be {}, is {}", where_, key, expected, shown(j)));
  }
  const Json& json_;
  std::string where_;
};

Metric metric_from(const Json& json, const std::string& where) {
  const Fields f(json, where);
  Metric m;
  m.name = f.text("name");
  f.need("value");
  m.value = f.number("value");
  m.unit = f.text("unit");
  m.over = f.text("over");
  m.n = f.integer("n");
  const std::vector<double> interval = f.numbers("interval");
  if (interval.size() == 2) {
    m.low = interval[0];
    m.high = interval[1];
  } else if (!interval.empty()) {
    throw DataError(fmt::format("record: {} should hold two numbers, holds {}", f.place("interval"), interval.size()));
  }
  m.protocol = f.text("protocol");
  m.lower_is_better = f.flag("lower_is_better", true);
  m.items = f.numbers("items");
  const auto optional = [&](const char* key) {
    return f.get(key) ? std::optional<double>(f.number(key)) : std::nullopt;
  };
  m.standard_error = optional("standard_error");
  m.activation_bits = optional("activation_bits");
  m.kv_bits = optional("kv_bits");
  m.leak_free = f.flag("leak_free", false);
  return m;
}

SlotResult slot_from(const Json& json, const std::string& where) {
  const Fields f(json, where);
  SlotResult s;
  s.name = f.text("name");
  s.kind = f.text("kind");
  s.high_tokens = f.integer("high_tokens");
  s.sums.samples = f.integer("samples");
  s.sums.tokens = f.integer("tokens");
  s.sums.features = f.integer("features");
  s.sums.group = f.integer("group");
  s.sums.signal = f.number("signal");
  s.sums.error = f.number("error");
  s.sums.b1 = f.number("b1");
  s.sums.b2 = f.number("b2");
  s.sums.b3 = f.number("b3");
  s.sums.b4 = f.number("b4");
  s.sums.b5 = f.number("b5", std::numeric_limits<double>::quiet_NaN());
  s.sums.worst_ratio = f.number("worst_ratio");
  if (f.get("bits")) s.average_bits = f.number("bits");
  if (f.get("energy_share")) s.energy_share = f.number("energy_share");
  s.theorem = f.text("theorem");
  if (s.theorem == "holds") s.theorem.clear();
  if (const Json* rows = f.get("rows")) {
    const Fields r(*rows, f.place("rows."));
    RowBands b;
    for (double e : r.numbers("edges")) b.edges.push_back(static_cast<std::int64_t>(e));
    b.energy = r.numbers("energy");
    b.error = r.numbers("error");
    b.bits = r.numbers("bits");
    const std::size_t n = b.edges.empty() ? 0 : b.edges.size() - 1;
    if (b.energy.size() != n || (!b.error.empty() && b.error.size() != n) || (!b.bits.empty() && b.bits.size() != n))
      throw DataError(
          fmt::format("record: {}: {} edges need {} values in each list", f.place("rows"), b.edges.size(), n));
    s.bands = std::move(b);
  }
  return s;
}

}  // namespace

Json json_number(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return value;
}

double number_from_json(const Json& json) {
  if (json.is_number()) return json.get<double>();
  if (json.is_string()) {
    const std::string& s = json.get_ref<const std::string&>();
    if (s == "nan") return std::numeric_limits<double>::quiet_NaN();
    if (s == "inf") return std::numeric_limits<double>::infinity();
    if (s == "-inf") return -std::numeric_limits<double>::infinity();
  }
  throw std::invalid_argument("not a number");
}

const Metric* find_metric(const Record& record, const std::string& name) {
  const auto it =
      std::find_if(record.metrics.begin(), record.metrics.end(), [&](const Metric& m) { return m.name == name; });
  return it == record.metrics.end() ? nullptr : &*it;
}

std::vector<std::int64_t> band_edges(std::int64_t tokens, std::int64_t high_tokens) {
  std::vector<std::int64_t> edges{0};
  for (std::int64_t r = 1; r <= std::min(tokens, single_rows); ++r) edges.push_back(r);
  if (tokens > single_rows) {
    const std::int64_t wide = most_bands - single_rows;
    const double growth = static_cast<double>(tokens) / static_cast<double>(single_rows);
    for (std::int64_t j = 1; j <= wide; ++j) {
      const double at =
          static_cast<double>(single_rows) * std::pow(growth, static_cast<double>(j) / static_cast<double>(wide));
      edges.push_back(j == wide ? tokens : std::min(tokens, static_cast<std::int64_t>(std::llround(at))));
    }
  }
  if (high_tokens > 0 && high_tokens < tokens) edges.push_back(high_tokens);
  std::sort(edges.begin(), edges.end());
  edges.erase(std::unique(edges.begin(), edges.end()), edges.end());
  return edges;
}

std::optional<double> SlotResult::bits() const {
  if (sums.row_bits.empty() || sums.samples <= 0) return average_bits;
  double sum = 0;
  for (double b : sums.row_bits) sum += b;
  return sum / (static_cast<double>(sums.row_bits.size()) * static_cast<double>(sums.samples));
}

std::optional<double> SlotResult::share() const {
  if (sums.row_energy.empty()) return energy_share;
  double all = 0, first = 0;
  for (std::size_t i = 0; i < sums.row_energy.size(); ++i) {
    all += sums.row_energy[i];
    if (static_cast<std::int64_t>(i) < high_tokens) first += sums.row_energy[i];
  }
  if (!(all > 0)) return std::nullopt;
  return first / all;
}

std::optional<RowBands> SlotResult::rows() const {
  if (sums.row_energy.empty()) return bands;
  RowBands b;
  const auto n = static_cast<std::int64_t>(sums.row_energy.size());
  b.edges = band_edges(n, high_tokens);
  b.energy = band_means(sums.row_energy, b.edges, sums.samples);
  if (sums.row_error.size() == sums.row_energy.size()) b.error = band_means(sums.row_error, b.edges, sums.samples);
  if (sums.row_bits.size() == sums.row_energy.size()) b.bits = band_means(sums.row_bits, b.edges, sums.samples);
  return b;
}

Json to_json(const Record& r) {
  Json j = Json::object();
  j["schema"] = r.schema;
  j["id"] = r.id;
  j["status"] = r.status;
  j["finished"] = r.finished;
  j["spec"] = r.spec;
  j["metrics"] = Json::array();
  for (const Metric& m : r.metrics) j["metrics"].push_back(metric_json(m));
  j["bound"] = r.bound;
  j["averages"] = r.averages;
  j["seeds"] = r.seeds;
  j["data"] = r.data;
  j["model"] = r.model;
  j["code"] = r.code;
  j["libraries"] = r.libraries;
  j["hardware"] = r.hardware;
  j["threads"] = r.threads;
  j["device"] = r.device;
  Json& timing = j["timing_s"] = Json::object();
  for (const auto& [phase, seconds] : r.timing_s) timing[phase] = json_number(seconds);
  j["peak_memory_bytes"] = r.peak_memory_bytes;
  j["warnings"] = r.warnings;
  if (r.failure)
    j["failure"] = {{"kind", r.failure->kind}, {"message", r.failure->message}, {"phase", r.failure->phase}};
  // Last, because it is long: the head of a line tells a reader what it is.
  if (!r.transforms.empty()) j["transforms"] = r.transforms;
  if (!r.training.empty()) j["training"] = r.training;
  j["slots"] = Json::array();
  for (const SlotResult& s : r.slots) j["slots"].push_back(slot_json(s));
  return j;
}

Record record_from_json(const Json& json) {
  const Fields f(json, "");
  Record r;
  f.need("schema");
  r.schema = static_cast<int>(f.integer("schema"));
  if (r.schema != Record{}.schema)
    throw DataError(
        fmt::format("record: schema {} is not known here; this program reads schema {}", r.schema, Record{}.schema));
  f.need("id");
  r.id = f.text("id");
  f.need("status");
  r.status = f.text("status");
  if (r.status != "done" && r.status != "failed")
    throw DataError(fmt::format("record: status should be \"done\" or \"failed\", is \"{}\"", r.status));
  r.finished = f.text("finished");
  r.spec = f.object("spec");
  if (const Json* list = f.list("metrics"))
    for (std::size_t i = 0; i < list->size(); ++i)
      r.metrics.push_back(metric_from((*list)[i], fmt::format("metrics[{}].", i)));
  r.bound = f.object("bound");
  r.averages = f.object("averages");
  r.transforms = f.object("transforms");
  if (const Json* list = f.list("training")) r.training = *list;
  r.seeds = f.object("seeds");
  r.data = f.object("data");
  r.model = f.object("model");
  r.code = f.object("code");
  r.libraries = f.object("libraries");
  r.hardware = f.object("hardware");
  r.threads = static_cast<int>(f.integer("threads"));
  r.device = f.text("device", "cpu");
  const Json timing = f.object("timing_s");
  const Fields timing_fields(timing, "timing_s.");
  for (const auto& [phase, seconds] : timing.items()) r.timing_s[phase] = timing_fields.number(phase.c_str());
  r.peak_memory_bytes = static_cast<std::uint64_t>(f.integer("peak_memory_bytes"));
  if (const Json* list = f.list("warnings"))
    for (const Json& w : *list) r.warnings.push_back(w.is_string() ? w.get<std::string>() : w.dump());
  if (const Json* failure = f.get("failure")) {
    const Fields g(*failure, "failure.");
    r.failure = Failure{g.text("kind"), g.text("message"), g.text("phase")};
  }
  if (const Json* list = f.list("slots"))
    for (std::size_t i = 0; i < list->size(); ++i)
      r.slots.push_back(slot_from((*list)[i], fmt::format("slots[{}].", i)));
  return r;
}

}  // namespace stamp
