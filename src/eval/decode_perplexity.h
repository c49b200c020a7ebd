// Perplexity of what follows a prompt: the first `decode.prefill` tokens of a window in one run (activations as the
// trial sets them), the others teacher-forced through the decode rule (L = I, low bits) on a cache of packed chunks.
// No row sees a later token, so nothing leaks. Specification methods 2.11 (D3), 12.4, 14.4 (S8).
#pragma once
#include "eval/evaluator.h"

namespace stamp {

struct DecodePerplexity {
  static PluginInfo info() {
    PluginInfo i;
    i.name = "decode_perplexity";
    i.summary = "perplexity of the tokens behind a prompt, decoded on a chunked, packed cache";
    i.source = "STaMP section 4 (prefill only); specification methods 2.11 (D3), 12.4, 14.4 (S8)";
    i.cost = "one more pass over the windows, in runs of at most a chunk";
    return i;
  }
  static std::unique_ptr<Evaluator> make(const EvaluatorContext& context);
};

}  // namespace stamp
