#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "results/record.h"
#include "support/catch.h"

using namespace stamp;

namespace {

SlotResult filled_slot(std::int64_t tokens, std::int64_t high) {
  SlotResult s;
  s.name = "layers.0.mlp.down_proj.input";
  s.kind = "linear input";
  s.high_tokens = high;
  s.sums.samples = 2;
  s.sums.tokens = tokens;
  s.sums.features = 8;
  s.sums.group = 8;
  for (std::int64_t i = 0; i < tokens; ++i) {
    s.sums.row_energy.push_back(2.0 * static_cast<double>(tokens - i));
    s.sums.row_error.push_back(0.5);
    s.sums.row_bits.push_back(i < high ? 16.0 : 8.0);  // two samples: 8 and 4 bits
    s.sums.row_range2.push_back(1.0);
  }
  s.sums.signal = 1e6 / 3.0;
  s.sums.error = 123.456789012345;
  s.sums.b1 = 1000;
  s.sums.b2 = 500;
  s.sums.b3 = 150;
  s.sums.b4 = 400;
  s.sums.b5 = 120;
  s.sums.worst_ratio = 1.25;
  return s;
}

Record filled_record() {
  Record r;
  r.id = "0123456789ab";
  r.status = "done";
  r.spec = {{"model", {{"name", "m"}}}};
  Metric m;
  m.name = "perplexity";
  m.value = 24.1454;
  m.over = "windows";
  m.n = 4;
  m.low = 22.5;
  m.high = 26.0 / 3.0;
  m.protocol = "context 2048, 4 windows";
  m.items = {3.1, 3.2, 1.0 / 3.0};
  m.standard_error = 0.25;
  m.activation_bits = 4.5;
  m.kv_bits = 4.75;
  m.leak_free = true;
  r.metrics.push_back(m);
  r.slots.push_back(filled_slot(100, 10));
  r.averages["activation_bits"] = 4.125;
  r.threads = 2;
  r.timing_s["evaluate"] = 1.5;
  r.peak_memory_bytes = 1400000000;
  r.warnings = {"few windows"};
  r.finished = "2026-01-01T00:00:00Z";
  return r;
}

}  // namespace

TEST_CASE("a record keeps everything that is written") {
  const Json written = to_json(filled_record());
  const Record read = record_from_json(Json::parse(written.dump()));
  CHECK(to_json(read).dump() == written.dump());
  CHECK(read.metrics[0].items == filled_record().metrics[0].items);
  CHECK(read.metrics[0].high == filled_record().metrics[0].high);
  CHECK(read.metrics[0].standard_error == 0.25);
  CHECK(read.metrics[0].activation_bits == 4.5);
  CHECK(read.metrics[0].kv_bits == 4.75);
  CHECK(read.metrics[0].leak_free);
  CHECK(read.slots[0].sums.error == 123.456789012345);
  CHECK(read.slots[0].sums.worst_ratio == 1.25);
  CHECK(read.slots[0].sums.row_energy.empty());
  CHECK(read.slots[0].bits() == filled_record().slots[0].bits());
  CHECK(read.slots[0].share() == filled_record().slots[0].share());
  CHECK_FALSE(read.failure.has_value());
}

TEST_CASE("transforms of single slots are kept, and absent where there are none") {
  Record r = filled_record();
  CHECK_FALSE(to_json(r).contains("transforms"));
  CHECK(record_from_json(to_json(r)).transforms.empty());
  r.transforms = {{"layers.0.mlp.down_proj.input", "haar/5"}, {"layers.1.mlp.down_proj.input", "dct"}};
  CHECK(record_from_json(Json::parse(to_json(r).dump())).transforms == r.transforms);
  Json bad = to_json(r);
  bad["transforms"] = "haar";
  CHECK_THROWS_WITH(record_from_json(bad), Catch::Contains("transforms"));
}

TEST_CASE("a failure is kept") {
  Record r = filled_record();
  r.status = "failed";
  r.failure = Failure{"nan_metric", "perplexity is nan \"here\"\n", "evaluate"};
  const Record read = record_from_json(Json::parse(to_json(r).dump()));
  REQUIRE(read.failure.has_value());
  CHECK(read.failure->kind == "nan_metric");
  CHECK(read.failure->message == r.failure->message);
  CHECK(read.failure->phase == "evaluate");
}

TEST_CASE("numbers that are not finite survive") {
  Record r = filled_record();
  r.metrics[0].value = std::numeric_limits<double>::quiet_NaN();
  r.metrics[0].items = {std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()};
  const Json written = to_json(r);
  CHECK(written["metrics"][0]["value"] == "nan");
  const Record read = record_from_json(Json::parse(written.dump()));
  CHECK(std::isnan(read.metrics[0].value));
  CHECK(read.metrics[0].items[0] == std::numeric_limits<double>::infinity());
  CHECK(read.metrics[0].items[1] == -std::numeric_limits<double>::infinity());
  r.slots[0].sums.error = 0;
  CHECK(to_json(r)["slots"][0]["sqnr_db"] == "inf");
}

TEST_CASE("bands cover every row once, keep the sums and put an edge at the high tokens") {
  for (const std::int64_t tokens : {1, 2, 15, 16, 17, 63, 64, 65, 100, 2047, 2048, 131072}) {
    for (const std::int64_t high : {0, 1, 5, 64, 1000}) {
      const auto edges = band_edges(tokens, high);
      CAPTURE(tokens, high);
      REQUIRE(edges.size() >= 2);
      CHECK(edges.size() - 1 <= 64);
      CHECK(edges.front() == 0);
      CHECK(edges.back() == tokens);
      for (std::size_t i = 0; i + 1 < edges.size(); ++i) CHECK(edges[i] < edges[i + 1]);
      if (high > 0 && high < tokens) CHECK(std::find(edges.begin(), edges.end(), high) != edges.end());
    }
  }
  // The slow twin: sums over bands against sums over rows.
  const SlotResult s = filled_slot(2047, 64);
  const auto rows = s.rows();
  REQUIRE(rows.has_value());
  double from_bands = 0;
  for (std::size_t i = 0; i + 1 < rows->edges.size(); ++i)
    from_bands += rows->energy[i] * static_cast<double>(rows->edges[i + 1] - rows->edges[i]) * 2;
  const double from_rows = std::accumulate(s.sums.row_energy.begin(), s.sums.row_energy.end(), 0.0);
  CHECK(std::fabs(from_bands - from_rows) < 1e-4 * from_rows);  // five digits a band
  CHECK(rows->bits.front() == 8);
  CHECK(rows->bits.back() == 4);
  CHECK(*s.bits() == Approx(4 + 4 * 64.0 / 2047.0).epsilon(1e-12));
}

TEST_CASE("energy share is that of the first high_tokens rows, absent without energy") {
  SlotResult s = filled_slot(4, 1);  // energies 8 6 4 2
  CHECK(*s.share() == Approx(8.0 / 20.0).epsilon(1e-12));
  for (double& e : s.sums.row_energy) e = 0;
  CHECK_FALSE(s.share().has_value());
  CHECK_FALSE(SlotResult{}.bits().has_value());
}

TEST_CASE("what is not a record is refused with the field's name") {
  Json good = to_json(filled_record());
  const auto message = [](const Json& j) {
    try {
      record_from_json(j);
    } catch (const DataError& e) {
      return std::string(e.what());
    }
    return std::string("accepted");
  };
  CHECK(message(Json::array()).find("not an object") != std::string::npos);
  Json j = good;
  j["schema"] = 2;
  CHECK(message(j).find("schema 2") != std::string::npos);
  j = good;
  j.erase("id");
  CHECK(message(j).find("id is missing") != std::string::npos);
  j = good;
  j["status"] = "half";
  CHECK(message(j).find("\"half\"") != std::string::npos);
  j = good;
  j["metrics"][0]["value"] = "24";
  CHECK(message(j).find("metrics[0].value should be a number, is \"24\"") != std::string::npos);
  j = good;
  j["metrics"] = 3;
  CHECK(message(j).find("metrics should be a list") != std::string::npos);
  j = good;
  j["slots"][0]["rows"]["energy"].push_back(1.0);
  CHECK(message(j).find("rows") != std::string::npos);
  j = good;
  j["failure"] = "no";
  CHECK(message(j).find("failure") != std::string::npos);
}
