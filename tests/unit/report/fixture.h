// Small runs made by hand.
#pragma once
#include <string>
#include <vector>

#include "report/source.h"

namespace stamp::test {

inline Metric metric(const std::string& name, double value, const std::vector<double>& items = {}) {
  Metric m;
  m.name = name;
  m.value = value;
  m.over = "windows";
  m.n = 4;
  m.protocol = "context 64, 4 windows";
  m.items = items;
  return m;
}

inline Json labels(const std::string& method, const std::string& transform) {
  return {{"quantization.method", method}, {"quantization.sequence.transform", transform}};
}

inline Record done(const std::string& id, const std::string& method, const std::string& transform, double value) {
  Record r;
  r.id = id;
  r.status = "done";
  r.spec = {{"model", {{"name", "toy"}}},
            {"data", {{"text", "t"}, {"context", 64}, {"windows", 4}}},
            {"quantization", {{"method", method}, {"sequence", {{"transform", transform}}}}}};
  r.metrics = {metric("perplexity", value), metric("perplexity_fp", 6.25)};
  r.averages = {{"activation_bits", 4.125}, {"kv_bits", 4.125}, {"weight_bits", 4}};
  r.code = {{"revision", "abc"}, {"dirty", false}, {"build", "Release"}};
  r.hardware = {{"cpu", "a cpu"}};
  r.threads = 2;
  return r;
}

inline ReportTrial trial(const std::string& id, const std::string& method, const std::string& transform, double value) {
  ReportTrial t;
  t.id = id;
  t.labels = {labels(method, transform)};
  t.record = done(id, method, transform, value);
  return t;
}

inline ReportSource grid_source() {
  ReportSource s;
  s.name = "toy & co_1";
  s.table.rows = {"quantization.method"};
  s.table.columns = {"quantization.sequence.transform"};
  s.trials = {trial("a1", "rtn", "identity", 668.12), trial("a2", "rtn", "haar", 95.31),
              trial("b1", "smooth|quant", "identity", 33.333), trial("b2", "smooth|quant", "haar", 33.334)};
  return s;
}

}  // namespace stamp::test
