#include "models/info/slot_info.h"

namespace stamp {

const char* name_of(SlotKind kind) {
  switch (kind) {
    case SlotKind::linear_input: return "linear input";
    case SlotKind::key_cache: return "key cache";
    case SlotKind::value_cache: return "value cache";
  }
  return "";
}

const char* name_of(SlotRows rows) {
  switch (rows) {
    case SlotRows::sequence: return "sequence";
    case SlotRows::grid: return "grid";
    case SlotRows::context: return "context";
  }
  return "";
}

}  // namespace stamp
