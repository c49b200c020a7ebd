#include "report/export.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <memory>
#include <set>

#include "base/error.h"
#include "base/text.h"
#include "report/source.h"
#include "report/table.h"

namespace stamp {

namespace {

const std::vector<std::string>& fixed_columns() {
  static const std::vector<std::string> names{
      "run",      "id",    "status", "metric",   "value",           "unit",         "over",
      "n",        "low",   "high",   "protocol", "activation_bits", "kv_bits",      "weight_bits",
      "revision", "dirty", "build",  "threads",  "finished",        "failure_kind", "failure_message"};
  return names;
}

bool always_a_number(const std::string& column) {
  static const std::set<std::string> names{"value",           "n",       "low",         "high",
                                           "activation_bits", "kv_bits", "weight_bits", "threads"};
  return names.contains(column);
}

bool finite_number(const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && std::isfinite(value);
}

std::string at(const Json& json, const char* key) {
  const auto it = json.find(key);
  return it == json.end() || it->is_null() ? "" : setting_text(*it);
}

std::string quoted_name(const std::string& name) {
  std::string out = "\"";
  for (char c : name) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

struct CloseDatabase {
  void operator()(sqlite3* d) const { sqlite3_close(d); }
};
struct FreeBytes {
  void operator()(unsigned char* b) const { sqlite3_free(b); }
};
struct FinishStatement {
  void operator()(sqlite3_stmt* s) const { sqlite3_finalize(s); }
};

}  // namespace

ExportRows export_rows(const std::map<std::string, std::string>& runs, const std::vector<Record>& records) {
  ExportRows out;
  out.columns = fixed_columns();
  std::vector<std::string> settings;
  for (const Record& r : records)
    for (const auto& [path, value] : flatten(r.spec))
      if (std::find(settings.begin(), settings.end(), path) == settings.end()) settings.push_back(path);
  out.columns.insert(out.columns.end(), settings.begin(), settings.end());

  for (const Record& r : records) {
    const auto run = runs.find(r.id);
    const auto line = [&](const Metric* m) {
      std::vector<std::string> f{run == runs.end() ? "" : run->second, r.id, r.status};
      const auto optional = [](const std::optional<double>& v) { return v ? number_text(*v) : std::string(); };
      if (m) {
        const std::vector<std::string> metric{
            m->name,          number_text(m->value), m->unit,    m->over, std::to_string(m->n),
            optional(m->low), optional(m->high),     m->protocol};
        f.insert(f.end(), metric.begin(), metric.end());
      } else {
        f.resize(f.size() + 8);
      }
      for (const char* key : {"activation_bits", "kv_bits", "weight_bits"}) f.push_back(at(r.averages, key));
      for (const char* key : {"revision", "dirty", "build"}) f.push_back(at(r.code, key));
      f.push_back(std::to_string(r.threads));
      f.push_back(r.finished);
      f.push_back(r.failure ? r.failure->kind : "");
      f.push_back(r.failure ? r.failure->message : "");
      for (const std::string& path : settings) {
        const auto value = setting(Json(), r.spec, path);
        f.push_back(value && !value->is_object() ? setting_text(*value) : "");
      }
      out.rows.push_back(std::move(f));
    };
    for (const Metric& m : r.metrics) line(&m);
    if (r.metrics.empty()) line(nullptr);
  }
  out.numeric.assign(out.columns.size(), true);
  for (std::size_t c = 0; c < out.columns.size(); ++c) {
    bool any = false;
    for (const auto& row : out.rows) {
      if (row[c].empty()) continue;
      any = true;
      if (!finite_number(row[c])) out.numeric[c] = false;
    }
    if (!any) out.numeric[c] = always_a_number(out.columns[c]);
    // Ids and revisions of digits only are names all the same.
    if (out.columns[c] == "id" || out.columns[c] == "run" || out.columns[c] == "revision") out.numeric[c] = false;
  }
  return out;
}

std::string export_csv(const ExportRows& rows) {
  std::string out = csv_line(rows.columns);
  for (const auto& row : rows.rows) out += csv_line(row);
  return out;
}

std::string export_sqlite(const ExportRows& rows) {
  sqlite3* raw = nullptr;
  const int opened = sqlite3_open(":memory:", &raw);
  const std::unique_ptr<sqlite3, CloseDatabase> db(raw);
  const auto expect = [&](bool good) {
    if (!good) throw StoreError(fmt::format("cannot make a database: {}", db ? sqlite3_errmsg(db.get()) : "no memory"));
  };
  expect(opened == SQLITE_OK);
  std::string columns, places;
  for (std::size_t c = 0; c < rows.columns.size(); ++c) {
    columns += fmt::format("{}{} {}", c ? ", " : "", quoted_name(rows.columns[c]), rows.numeric[c] ? "REAL" : "TEXT");
    places += c ? ", ?" : "?";
  }
  const auto execute = [&](const std::string& sql) {
    expect(sqlite3_exec(db.get(), sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK);
  };
  execute("BEGIN; CREATE TABLE metrics (" + columns + ")");
  sqlite3_stmt* raw_insert = nullptr;
  const std::string sql = "INSERT INTO metrics VALUES (" + places + ")";
  const int prepared = sqlite3_prepare_v2(db.get(), sql.c_str(), -1, &raw_insert, nullptr);
  std::unique_ptr<sqlite3_stmt, FinishStatement> insert(raw_insert);
  expect(prepared == SQLITE_OK);
  for (const auto& row : rows.rows) {
    for (std::size_t c = 0; c < row.size(); ++c) {
      const int index = static_cast<int>(c) + 1;
      if (row[c].empty()) {
        sqlite3_bind_null(insert.get(), index);
      } else if (rows.numeric[c]) {
        double value = 0;
        std::from_chars(row[c].data(), row[c].data() + row[c].size(), value);
        sqlite3_bind_double(insert.get(), index, value);
      } else {
        sqlite3_bind_text(insert.get(), index, row[c].data(), static_cast<int>(row[c].size()), SQLITE_TRANSIENT);
      }
    }
    expect(sqlite3_step(insert.get()) == SQLITE_DONE);
    sqlite3_reset(insert.get());
  }
  insert.reset();
  execute("COMMIT");
  sqlite3_int64 size = 0;
  const std::unique_ptr<unsigned char, FreeBytes> bytes(sqlite3_serialize(db.get(), "main", &size, 0));
  expect(bytes != nullptr);
  return {reinterpret_cast<const char*>(bytes.get()), static_cast<std::size_t>(size)};
}

}  // namespace stamp
