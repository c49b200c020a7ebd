#include "tokenizer/sentencepiece_file.h"

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "formats/utf8.h"

namespace stamp {
namespace {

// Fields of one message, one at a time.
class Message {
 public:
  Message(std::string_view bytes, const std::string& where, std::string what)
      : bytes_(bytes), where_(where), what_(std::move(what)) {}

  struct Field {
    std::uint64_t number = 0;
    std::uint64_t value = 0;  // of a number
    std::string_view bytes;   // of a text or a message
    bool length_given = false;
  };
  bool next(Field& field) {
    if (at_ == bytes_.size()) return false;
    const std::uint64_t key = varint();
    field = {};
    field.number = key >> 3;
    switch (key & 7) {
      case 0: field.value = varint(); break;
      case 1: field.value = fixed<std::uint64_t>(); break;
      case 2:
        field.length_given = true;
        field.bytes = take(varint());
        break;
      case 5: field.value = fixed<std::uint32_t>(); break;
      default: fail("has a field of the unknown kind " + std::to_string(key & 7));
    }
    if (field.number == 0) fail("has a field with number 0");
    return true;
  }
  std::string_view bytes(const Field& field) const {
    if (!field.length_given) fail("has a number where text is expected");
    return field.bytes;
  }
  std::uint64_t number(const Field& field) const {
    if (field.length_given) fail("has text where a number is expected");
    return field.value;
  }
  float real(const Field& field) const {
    const auto bits = static_cast<std::uint32_t>(number(field));
    float value;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
  }
  [[noreturn]] void fail(const std::string& message) const {
    throw DataError(where_ + ": is no SentencePiece model, or damaged: " + what_ + " " + message);
  }

 private:
  std::string_view take(std::uint64_t count) {
    if (count > bytes_.size() - at_) fail("ends inside a field (byte " + std::to_string(at_) + ")");
    const std::string_view part = bytes_.substr(at_, count);
    at_ += count;
    return part;
  }
  template <typename T>
  T fixed() {
    T value;
    std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
    return value;
  }
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    fail("has a number of more than ten bytes");
  }

  std::string_view bytes_;
  const std::string& where_;
  std::string what_;
  std::size_t at_ = 0;
};

SentencePieceFile::Piece read_piece(std::string_view bytes, const std::string& where, std::size_t id) {
  SentencePieceFile::Piece piece;
  Message message(bytes, where, "piece " + std::to_string(id));
  for (Message::Field field; message.next(field);) {
    if (field.number == 1) piece.text = std::string(message.bytes(field));
    if (field.number == 2) piece.score = message.real(field);
    if (field.number == 3) piece.type = static_cast<std::int64_t>(message.number(field));
  }
  return piece;
}

void read_training(std::string_view bytes, const std::string& where, SentencePieceFile& file) {
  Message message(bytes, where, "its trainer's part");
  for (Message::Field field; message.next(field);) {
    if (field.number == 3) file.model_type = static_cast<std::int64_t>(message.number(field));
    if (field.number == 24) file.space_behind = message.number(field) != 0;
    if (field.number == 35) file.byte_fallback = message.number(field) != 0;
  }
}

void read_normalization(std::string_view bytes, const std::string& where, SentencePieceFile& file) {
  Message message(bytes, where, "its normalizer's part");
  for (Message::Field field; message.next(field);) {
    if (field.number == 2) file.charsmap = std::string(message.bytes(field));
    if (field.number == 3) file.add_dummy_prefix = message.number(field) != 0;
    if (field.number == 4) file.remove_extra_whitespaces = message.number(field) != 0;
    if (field.number == 5) file.escape_whitespaces = message.number(field) != 0;
  }
}

using Use = TokenizerSettings::Use;

Use use_of(const SentencePieceFile::Piece& piece, const std::string& name, const std::string& where) {
  switch (piece.type) {
    case kNormal:
    case kUserDefined: return Use::entry;
    case kUnused: return Use::unused;
    case kByte: return Use::byte;
    case kUnknown:
    case kControl: return Use::apart;
    default:
      throw DataError(where + ": the type of " + name + " is " + std::to_string(piece.type) +
                      ", not one of 1 (normal), 2 (unknown), 3 (control), 4 (user-defined), 5 (unused), 6 (byte)");
  }
}

void add_pieces(SentencePieceFile& file, const std::string& where, TokenizerSettings& settings) {
  StringMap<std::size_t> seen;
  std::array<bool, 256> bytes{};
  for (std::size_t id = 0; id < file.pieces.size(); ++id) {
    SentencePieceFile::Piece& piece = file.pieces[id];
    const std::string name = "piece " + std::to_string(id) + " (\"" + repaired_utf8(piece.text.substr(0, 80)) + "\")";
    if (piece.text.empty()) throw DataError(where + ": " + name + " has no text");
    if (!is_utf8(piece.text)) throw DataError(where + ": " + name + " is not UTF-8");
    if (!std::isfinite(piece.score)) throw DataError(where + ": the score of " + name + " is not a finite number");
    const auto [other, fresh] = seen.emplace(piece.text, id);
    if (!fresh) throw DataError(where + ": " + name + " has the text of piece " + std::to_string(other->second));
    const Use use = use_of(piece, name, where);
    if (use == Use::byte) {
      const int byte = byte_of_spelling(piece.text);
      if (byte < 0 || piece.text != spelling_of_byte(byte))
        throw DataError(where + ": " + name + " is of type byte, but not spelled <0xNN>");
      bytes[static_cast<std::size_t>(byte)] = true;
    }
    if (piece.type == kUnknown) {
      if (settings.unknown >= 0) throw DataError(where + ": " + name + " is a second unknown piece");
      settings.unknown = static_cast<std::int32_t>(id);
    }
    if (piece.type == kUserDefined) settings.user_defined.push_back(static_cast<std::int32_t>(id));
    settings.uses.push_back(use);
    settings.scores.push_back(piece.score);
    settings.spellings.push_back(std::move(piece.text));
  }
  if (settings.unknown < 0) throw DataError(where + ": has no unknown piece");
  settings.byte_fallback = file.byte_fallback;
  for (int b = 0; file.byte_fallback && b < 256; ++b)
    if (!bytes[static_cast<std::size_t>(b)])
      throw DataError(where + ": falls back to bytes, but has no piece " + spelling_of_byte(b));
}

void add_normalization(SentencePieceFile& file, const std::string& where, TokenizerSettings& settings) {
  auto normalizer = std::make_shared<SentencePieceNormalizer>();
  normalizer->table = Charsmap(file.charsmap, where);
  normalizer->space_in_front = file.add_dummy_prefix;
  normalizer->single_spaces = file.remove_extra_whitespaces;
  normalizer->spell_spaces = file.escape_whitespaces;
  for (const std::int32_t id : settings.user_defined)
    normalizer->kept.push_back(settings.spellings[static_cast<std::size_t>(id)]);
  NormalizeStep step;
  step.kind = NormalizeStep::Kind::sentencepiece;
  step.text = std::move(file.charsmap);
  for (const bool flag : {normalizer->space_in_front, normalizer->single_spaces, normalizer->spell_spaces})
    step.text += flag ? '1' : '0';
  step.sentencepiece = std::move(normalizer);
  settings.normalize.push_back(std::move(step));
}

void add_decoding(bool space_in_front, TokenizerSettings& settings) {
  const auto add = [&](DecodeStep::Kind kind) -> DecodeStep& {
    settings.decode.emplace_back();
    settings.decode.back().kind = kind;
    settings.decode.back().text.assign(1, ' ');
    return settings.decode.back();
  };
  add(DecodeStep::Kind::replace).pattern = Pattern::literal(kSpaceMark);
  add(DecodeStep::Kind::bytes);
  add(DecodeStep::Kind::fuse);
  if (space_in_front) add(DecodeStep::Kind::strip).left = 1;
}

}  // namespace

SentencePieceFile parse_sentencepiece(std::string_view bytes, const std::string& where) {
  SentencePieceFile file;
  Message message(bytes, where, "the file");
  for (Message::Field field; message.next(field);) {
    if (field.number == 1) file.pieces.push_back(read_piece(message.bytes(field), where, file.pieces.size()));
    if (field.number == 2) read_training(message.bytes(field), where, file);
    if (field.number == 3) read_normalization(message.bytes(field), where, file);
  }
  if (file.pieces.empty()) throw DataError(where + ": is no SentencePiece model: it has no pieces");
  return file;
}

TokenizerSettings settings_from_sentencepiece(SentencePieceFile file, const SentencePieceRules& rules,
                                              const std::string& where) {
  if (file.model_type != 1)
    throw DataError(where + ": the model type is " + std::to_string(file.model_type) +
                    "; of SentencePiece's own files only unigram models (1) are supported");
  if (file.space_behind) throw DataError(where + ": puts spaces behind words, which is not supported");
  TokenizerSettings settings;
  settings.model = TokenizerSettings::Model::unigram;
  settings.where = where;
  settings.family = "SentencePiece";
  settings.fuse_unknown = true;
  settings.float_sums = true;
  add_pieces(file, where, settings);
  add_normalization(file, where, settings);
  add_decoding(file.add_dummy_prefix, settings);
  if (rules.append_end) {
    for (std::size_t id = 0; id < settings.spellings.size(); ++id)
      if (settings.spellings[id] == "</s>") settings.after = {static_cast<std::int32_t>(id)};
    if (settings.after.empty()) throw DataError(where + ": has no piece \"</s>\" to end a text with");
  }
  for (std::int64_t i = rules.extra_ids - 1; i >= 0; --i) {
    settings.spellings.push_back("<extra_id_" + std::to_string(i) + ">");
    settings.uses.push_back(Use::apart);
    settings.scores.push_back(0);
  }
  return settings;
}

}  // namespace stamp
