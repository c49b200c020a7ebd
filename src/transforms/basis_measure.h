// Bases that calibration measures, one for every slot: what transforms such as klt and haar_packets are made from. How
// a basis comes out of the rows that a slot sees, and what else it depends on, stands with the transform; when the
// items run, and where the floats are kept, is the engine's business.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/matrix.h"

namespace stamp {

// What is known of a slot before its basis is.
struct BasisRequest {
  std::int64_t tokens = 0;             // behind the skipped ones
  std::int64_t high_tokens = 0;        // as in SequenceTransformRequest; 0 = none is known
  double low_bits = 4, high_bits = 8;  // of the slot's rows
  Json options = Json::object();       // the transform's
};

class BasisMeasure {
 public:
  virtual ~BasisMeasure() = default;
  virtual void add(ConstMatrixView x) = 0;  // one sequence behind its skipped tokens: tokens x features
  virtual std::vector<float> basis() = 0;   // asked for once, when every sequence has been added
};

struct BasisPlugin {
  std::string transform;
  std::size_t (*floats)(std::int64_t tokens) = nullptr;       // of one basis
  std::uint64_t (*sum_bytes)(const BasisRequest&) = nullptr;  // what a measure holds while it adds
  // True: a built transform takes megabytes, and those of all slots may not fit in memory together.
  bool large = false;
  // All that the basis depends on besides the rows it was measured on; null: on nothing else. Goes into the keys of
  // cached bases, and of what was measured under them.
  Json (*depends)(const BasisRequest&) = nullptr;
  std::unique_ptr<BasisMeasure> (*start)(const BasisRequest&) = nullptr;
};

// Null for transforms that have none, or whose basis takes more than rows: that of klt solves an eigenproblem, with
// LibTorch, and stands in engine/slot_bases.h.
const BasisPlugin* measured_basis(const std::string& transform);

}  // namespace stamp
