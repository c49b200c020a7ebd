#include <algorithm>
#include <unordered_set>

#include "formats/byte_reader.h"
#include "formats/dtype.h"
#include "formats/json_text.h"
#include "formats/safetensors.h"

namespace stamp {
namespace {

constexpr std::uint64_t kLongestHeader = 100000000;  // the reference reader's limit

struct Entry {
  TensorInfo info;
  std::uint64_t begin = 0, end = 0;
};

// Reads the header while it is parsed, so that it never exists as a JSON value: {"name": {"dtype": "F32", "shape":
// [..], "data_offsets": [b, e]}, ..., "__metadata__": {"key": "text"}}.
class HeaderReader : public nlohmann::json_sax<Json> {
 public:
  HeaderReader(const ByteReader& in, std::string_view header) : in_(in), header_(header) {}
  std::vector<Entry> entries;
  std::map<std::string, std::string> metadata;

  bool null() override { unexpected("null"); }
  bool boolean(bool) override { unexpected("true or false"); }
  bool number_float(number_float_t, const string_t& text) override { unexpected(text); }
  bool binary(binary_t&) override { unexpected("binary data"); }
  bool number_integer(number_integer_t v) override { unexpected(std::to_string(v)); }
  bool number_unsigned(number_unsigned_t v) override {
    if (list_ == List::shape) {
      if (v > static_cast<number_unsigned_t>(INT64_MAX)) unexpected(std::to_string(v));
      entry_.info.shape.push_back(static_cast<std::int64_t>(v));
    } else if (list_ == List::offsets && offsets_ < 2) {
      (offsets_++ == 0 ? entry_.begin : entry_.end) = v;
    } else {
      unexpected(std::to_string(v));
    }
    return true;
  }
  bool string(string_t& v) override {
    if (depth_ == 2 && in_metadata_) {
      metadata[field_] = v;
    } else if (depth_ == 2 && field_ == "dtype") {
      const auto type = dtype_of_safetensors(v);
      if (!type)
        in_.fail("tensor \"" + name_ + "\" is stored as " + v.substr(0, 40) +
                 ", which is not supported (F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL are)");
      entry_.info.type = *type;
    } else {
      unexpected("the text \"" + v.substr(0, 40) + "\"");
    }
    return true;
  }
  bool key(string_t& v) override {
    std::unordered_set<std::string>& seen = depth_ == 1 ? names_ : fields_;
    if (!seen.insert(v).second) in_.fail("the header names \"" + v.substr(0, 200) + "\" twice");
    if (depth_ == 1) {
      name_ = v;
      in_metadata_ = v == "__metadata__";
    } else {
      field_ = v;
      if (!in_metadata_ && v != "dtype" && v != "shape" && v != "data_offsets")
        in_.fail("tensor \"" + name_ + "\" has the unknown field \"" + v.substr(0, 40) +
                 "\" (dtype, shape, data_offsets)");
    }
    return true;
  }
  bool start_object(std::size_t) override {
    if (depth_ == 2 || list_ != List::none) unexpected("an object");
    if (++depth_ == 2) {
      entry_ = Entry();
      entry_.info.name = name_;
      offsets_ = 0;
      fields_.clear();
    }
    return true;
  }
  bool end_object() override {
    if (depth_-- == 2 && !in_metadata_) {
      for (const char* field : {"dtype", "shape", "data_offsets"})
        if (fields_.count(field) == 0) in_.fail("tensor \"" + name_ + "\" has no " + field);
      entries.push_back(std::move(entry_));
    }
    return true;
  }
  bool start_array(std::size_t) override {
    if (depth_ != 2 || in_metadata_ || list_ != List::none) unexpected("a list");
    if (field_ == "shape")
      list_ = List::shape;
    else if (field_ == "data_offsets")
      list_ = List::offsets;
    else
      unexpected("a list");
    return true;
  }
  bool end_array() override {
    if (list_ == List::offsets && offsets_ != 2) unexpected("a list of " + std::to_string(offsets_));
    list_ = List::none;
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    in_.fail("the header is not valid JSON at " + place_in(header_, position == 0 ? 0 : position - 1));
  }

 private:
  enum class List { none, shape, offsets };

  [[noreturn]] void unexpected(const std::string& what) const {
    in_.fail("the header has " + what + " " +
             (depth_ == 0 ? "where an object must be"
                          : "in \"" + name_.substr(0, 200) + "\"" +
                                (depth_ == 2 ? ", field \"" + field_.substr(0, 40) + "\"" : "")));
  }

  const ByteReader& in_;
  std::string_view header_;
  int depth_ = 0;
  bool in_metadata_ = false;
  List list_ = List::none;
  int offsets_ = 0;
  std::string name_, field_;
  std::unordered_set<std::string> names_, fields_;
  Entry entry_;
};

void check_sizes(const ByteReader& in, const Entry& entry, std::uint64_t room) {
  const std::string what = "tensor \"" + entry.info.name + "\"";
  if (entry.begin > entry.end || entry.end > room)
    in.fail(what + " lies at bytes " + std::to_string(entry.begin) + " to " + std::to_string(entry.end) +
            " of a buffer of " + std::to_string(room) + ". The file is truncated or damaged");
  const auto bytes = checked_bytes(entry.info.type, entry.info.shape);
  if (!bytes || *bytes != entry.end - entry.begin)
    in.fail(what + " (" + name_of(entry.info.type) + " " + shape_text(entry.info.shape) + ") needs " +
            (bytes ? std::to_string(*bytes) : std::string("an impossible number of")) + " bytes and has " +
            std::to_string(entry.end - entry.begin));
}

}  // namespace

SafetensorsFile parse_safetensors(const std::byte* data, std::uint64_t size, const std::string& where) {
  ByteReader in(data, size, where);
  const auto length = in.number<std::uint64_t>("the header's length");
  if (length > kLongestHeader || length > in.left())
    in.fail("claims a header of " + std::to_string(length) + " bytes (at most " +
            std::to_string(std::min(kLongestHeader, in.left())) +
            " possible). The file is truncated or not safetensors");
  const std::string_view header(reinterpret_cast<const char*>(in.here()), length);
  if (header.empty() || header.front() != '{')
    in.fail("is not a safetensors file (its header does not start with \"{\")");
  HeaderReader reader(in, header);
  if (!Json::sax_parse(header, &reader)) in.fail("the header is not valid JSON");
  in.skip(length, "the header");

  std::sort(reader.entries.begin(), reader.entries.end(),
            [](const Entry& a, const Entry& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  SafetensorsFile file;
  file.metadata = std::move(reader.metadata);
  std::uint64_t next = 0;
  for (Entry& entry : reader.entries) {
    check_sizes(in, entry, in.left());
    if (entry.begin != next)
      in.fail("tensor \"" + entry.info.name + "\" starts at byte " + std::to_string(entry.begin) +
              " of the buffer, but " + std::to_string(next) +
              " comes next: tensors must follow one another without holes or overlaps");
    next = entry.end;
    entry.info.data = in.here() + entry.begin;
    entry.info.bytes = entry.end - entry.begin;
    file.tensors.push_back(std::move(entry.info));
  }
  if (next != in.left())
    in.fail("the tensors end at byte " + std::to_string(next) + " of a buffer of " + std::to_string(in.left()));
  return file;
}

}  // namespace stamp
