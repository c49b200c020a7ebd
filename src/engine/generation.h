// One prompt continued under the settings of a trial. Specification methods 2.8, 12.4; models 3.7.
#pragma once
#include <functional>
#include <string>
#include <string_view>

#include "decoding/sampler.h"
#include "decoding/sequence_cache.h"
#include "engine/session.h"

namespace stamp {

struct GenerationRequest {
  std::string prompt;  // UTF-8, taken as it is
  std::int64_t max_tokens = 128;
  TokenSampling sampling;
  CacheView view = CacheView::rebuild;
};

struct GenerationReport {
  std::int64_t prompt_tokens = 0, new_tokens = 0;  // new ones without the token that ended the text
  std::int64_t steps = 0;                          // runs of a single token
  double prefill_s = 0, decode_s = 0;              // of the runs; texts and tokenizing left out
  std::string end;                                 // "end of text", "max tokens", "interrupted"
  std::int64_t cache_tokens = 0;
  std::uint64_t stored_bytes = 0, working_bytes = 0, float_bytes = 0;  // float_bytes: the same rows as float32
  double weight_bits = 16, prompt_bits = 16, decode_bits = 16;         // of activations, without scales
  double cache_bits = 16;
};

// Opens the model, applies method and weights, reads the prompt, and hands out text as it becomes certain. `give`
// returns false when nobody reads any more; `stopped` is asked after every token. Errors as of Session; DataError for a
// model without tokenizer; ConfigError for a prompt without tokens; TrialError ("nan_metric") when the logits are no
// numbers.
GenerationReport generate(Session& session, TrialSpec spec, const GenerationRequest& request,
                          const std::function<bool(std::string_view)>& give, const std::function<bool()>& stopped,
                          Monitor& monitor);

std::string text_of(const GenerationReport& report);  // some lines for a person

}  // namespace stamp
