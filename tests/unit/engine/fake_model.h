// A network that is no decoder: two linear sites with a cache site between them, on items that are plain matrices.
// What the engine needs of a model is what this one has.
#pragma once
#include <memory>
#include <string>

#include "engine/session.h"
#include "models/network.h"

namespace stamp::test {

struct FakeCounters {
  int opened = 0, built = 0, runs = 0;
};

struct FakeOptions {
  bool nan = false;        // outputs that are not numbers
  bool no_memory = false;  // every run throws std::bad_alloc
  std::string digest = "fake";
};

constexpr std::int64_t fake_width = 24, fake_hidden = 48, fake_cache = 32, fake_heads = 2;

std::unique_ptr<Model> fake_model(std::shared_ptr<FakeCounters> counters, const FakeOptions& options = {});

// A session on the fake model, with the registered methods and metrics and one more method, "halve", which scales the
// input of the first site by its channel maxima and needs calibration.
SessionOptions fake_session(std::shared_ptr<FakeCounters> counters, const fs::path& cache,
                            const FakeOptions& options = {});

// W4A4KV4, 64 tokens, 2 items, first 8 tokens at 8 bits, Haar with 3 levels behind one skipped token.
TrialSpec fake_trial();
Json haar_options(int levels);

}  // namespace stamp::test
