// A cursor over mapped bytes that cannot leave them: every read is checked against what is left.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "base/error.h"

namespace stamp {

class ByteReader {
 public:
  // `where` is the file's name, the first words of every message.
  ByteReader(const std::byte* data, std::uint64_t size, std::string where)
      : data_(data), size_(size), where_(std::move(where)) {}

  // A little-endian number. DataError when the file ends before it.
  template <typename T>
  T number(std::string_view what) {
    require(sizeof(T), what);
    T value;
    std::memcpy(&value, data_ + position_, sizeof(T));
    position_ += sizeof(T);
    return value;
  }
  // u64 length, then that many bytes; the view points into the mapping.
  std::string_view text(std::string_view what) {
    const auto length = number<std::uint64_t>(what);
    require(length, what);
    const std::string_view view(reinterpret_cast<const char*>(data_ + position_), length);
    position_ += length;
    return view;
  }
  void skip(std::uint64_t bytes, std::string_view what) {
    require(bytes, what);
    position_ += bytes;
  }
  std::uint64_t position() const { return position_; }
  std::uint64_t left() const { return size_ - position_; }
  const std::byte* here() const { return data_ + position_; }

  [[noreturn]] void fail(const std::string& message) const { throw DataError(where_ + ": " + message); }

 private:
  void require(std::uint64_t bytes, std::string_view what) const {
    if (bytes <= left()) return;
    fail("the file ends inside " + std::string(what) + " (byte " + std::to_string(position_) + ": " +
         std::to_string(bytes) + " more needed, " + std::to_string(left()) + " left)");
  }

  const std::byte* data_;
  std::uint64_t size_;
  std::uint64_t position_ = 0;
  std::string where_;
};

}  // namespace stamp
