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

}  // namespace stamp
