#include "base/gzip.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>

#include "base/error.h"

namespace stamp {

namespace {

// Ends the stream however reading it ends.
struct Inflater {
  z_stream stream{};
  Inflater() {
    // 16: a gzip header and checksum around the data, and nothing else.
    if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK) throw Error(ExitCode::internal, "zlib cannot be started");
  }
  ~Inflater() { inflateEnd(&stream); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
};

}  // namespace

std::string read_gzip(const fs::path& path, std::uint64_t limit) {
  const std::string packed = read_file(path, limit);
  Inflater inflater;
  z_stream& stream = inflater.stream;
  // zlib counts in 32 bits, so input and output go piece by piece.
  constexpr std::size_t piece = std::size_t{1} << 20;
  std::string buffer(piece, '\0'), out;
  std::size_t at = 0;
  for (int state = Z_OK; state != Z_STREAM_END;) {
    if (stream.avail_in == 0) {
      const std::size_t next = std::min(piece, packed.size() - at);
      stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data() + at));
      stream.avail_in = static_cast<uInt>(next);
      at += next;
    }
    stream.next_out = reinterpret_cast<Bytef*>(buffer.data());
    stream.avail_out = static_cast<uInt>(piece);
    state = inflate(&stream, Z_NO_FLUSH);
    if (state == Z_BUF_ERROR) throw DataError(fmt::format("{}: the packed file is cut short", path.string()));
    if (state != Z_OK && state != Z_STREAM_END)
      throw DataError(fmt::format("{}: cannot be unpacked: {}", path.string(), stream.msg ? stream.msg : "damaged"));
    out.append(buffer.data(), piece - stream.avail_out);
    if (out.size() > limit)
      throw DataError(fmt::format("{}: is larger than {} bytes when unpacked", path.string(), limit));
  }
  return out;
}

}  // namespace stamp
