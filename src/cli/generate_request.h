// What `stamp generate` asks its worker for, as one JSON text.
#pragma once
#include <string>

#include "base/json.h"
#include "decoding/sampler.h"

namespace stamp {

struct GenerateRequest {
  Json trial;  // as with_paths() writes it
  std::string prompt;
  std::int64_t max_tokens = 128;
  TokenSampling sampling;
  bool keep_view = false;  // a float32 copy of the cache instead of restoring it in every step
  bool stats = false;
};

inline Json to_json(const GenerateRequest& r) {
  return {{"trial", r.trial},
          {"prompt", r.prompt},
          {"max_tokens", r.max_tokens},
          {"temperature", r.sampling.temperature},
          {"top_k", r.sampling.top_k},
          {"top_p", r.sampling.top_p},
          {"seed", r.sampling.seed},
          {"keep_view", r.keep_view},
          {"stats", r.stats}};
}

inline GenerateRequest generate_request(const Json& j) {
  GenerateRequest r;
  r.trial = j.at("trial");
  r.prompt = j.at("prompt");
  r.max_tokens = j.at("max_tokens");
  r.sampling.temperature = j.at("temperature");
  r.sampling.top_k = j.at("top_k");
  r.sampling.top_p = j.at("top_p");
  r.sampling.seed = j.at("seed");
  r.keep_view = j.at("keep_view");
  r.stats = j.at("stats");
  return r;
}

}  // namespace stamp
