#include "results/store.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>

#include "base/error.h"
#include "results/read_records.h"

namespace stamp {

namespace {

std::string read_all(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw StoreError(fmt::format("{}: cannot be read", path.string()));
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

bool ends_whole(const fs::path& path) {
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  if (!in || in.tellg() == std::ifstream::pos_type(0)) return true;
  in.seekg(-1, std::ios::end);
  return in.get() == '\n';
}

Json parse_line(const std::string& line, bool with_slots) {
  if (with_slots) return Json::parse(line);
  return Json::parse(line, [](int depth, Json::parse_event_t event, Json& value) {
    return !(event == Json::parse_event_t::key && depth == 1 && value == "slots");
  });
}

}  // namespace

const Record* ReadRecords::find(const std::string& id) const {
  const auto it = std::find_if(records.begin(), records.end(), [&](const Record& r) { return r.id == id; });
  return it == records.end() ? nullptr : &*it;
}

void RunStore::make_folders() const {
  std::error_code ec;
  if (fs::exists(folder_, ec) && !fs::is_directory(folder_, ec))
    throw StoreError(fmt::format("{}: is not a folder; results of a run need one (--output DIR)", folder_.string()));
  make_folder(folder_);
  make_folder(folder_ / "logs");
  make_folder(tables_folder());
  make_folder(plots_folder());
}

std::unique_ptr<FileLock> RunStore::lock() const {
  auto held = FileLock::try_acquire(folder_ / ".lock");
  if (!held)
    throw StoreError(fmt::format(
        "{}: another run is working in this folder; wait for it, or choose another with --output", folder_.string()));
  return held;
}

void RunStore::test_write() const {
  const fs::path probe = folder_ / ".write-test";
  write_file_atomic(probe, "stamp\n");
  const bool same = read_all(probe) == "stamp\n";
  std::error_code ec;
  fs::remove(probe, ec);
  if (!same) throw StoreError(fmt::format("{}: a test file did not read back as written", folder_.string()));
  // An existing record file must take appends too (owner and mode may differ from the folder's).
  if (fs::exists(records_path(), ec) && !std::ofstream(records_path(), std::ios::app))
    throw StoreError(fmt::format("{}: cannot be appended to", records_path().string()));
}

std::optional<std::string> RunStore::repair() const {
  std::error_code ec;
  if (!fs::exists(records_path(), ec) || ends_whole(records_path())) return std::nullopt;
  const std::string text = read_all(records_path());
  const std::size_t end = text.rfind('\n');
  const std::size_t whole = end == std::string::npos ? 0 : end + 1;
  const std::string torn = text.substr(whole);
  // Kept before it is cut off: a stop between the two steps repeats the first, and nothing is lost.
  append_line(folder_ / "records.torn", torn);
  fs::resize_file(records_path(), whole, ec);
  if (ec)
    throw StoreError(fmt::format("{}: a torn last line cannot be cut off: {}", records_path().string(), ec.message()));
  return fmt::format(
      "{}: the last line was torn ({} bytes, an interrupted write); it is kept in records.torn and not counted",
      records_path().string(), torn.size());
}

void RunStore::append(const Record& record) const {
  repair();
  append_line(records_path(), to_json(record).dump(-1, ' ', false, Json::error_handler_t::replace));
}

ReadRecords read_records(std::istream& in, const std::string& name, bool with_slots) {
  ReadRecords out;
  std::unordered_map<std::string, std::size_t> place;
  std::string line;
  for (int number = 1; std::getline(in, line); ++number) {
    const bool torn = in.eof();  // getline met the end before a newline
    if (torn) {
      if (!line.empty())
        out.notices.push_back(fmt::format("{}:{}: the last line is torn ({} bytes, an interrupted write); not counted",
                                          name, number, line.size()));
      break;
    }
    ++out.lines;
    try {
      Record record = record_from_json(parse_line(line, with_slots));
      ++out.writes[record.id];
      const auto [it, fresh] = place.try_emplace(record.id, out.records.size());
      if (fresh)
        out.records.push_back(std::move(record));
      else
        out.records[it->second] = std::move(record);
    } catch (const Json::exception& e) {
      out.notices.push_back(fmt::format("{}:{}: not a whole JSON line, left out: {}", name, number, json_fault(e)));
    } catch (const DataError& e) {
      out.notices.push_back(fmt::format("{}:{}: left out: {}", name, number, e.what()));
    }
  }
  return out;
}

ReadRecords RunStore::read(bool with_slots) const {
  std::error_code ec;
  if (!fs::exists(records_path(), ec)) return {};
  if (!fs::is_regular_file(records_path(), ec))
    throw StoreError(fmt::format("{}: is not a regular file", records_path().string()));
  std::ifstream in(records_path(), std::ios::binary);
  if (!in) throw StoreError(fmt::format("{}: cannot be read", records_path().string()));
  return read_records(in, records_path().string(), with_slots);
}

}  // namespace stamp
