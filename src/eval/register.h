// The list of metrics: one line each, and one include.
#pragma once
#include "eval/class_accuracy.h"
#include "eval/clip_score.h"
#include "eval/correlation.h"
#include "eval/decode_perplexity.h"
#include "eval/frechet.h"
#include "eval/image_reward.h"
#include "eval/image_sqnr.h"
#include "eval/leak.h"
#include "eval/lpips.h"
#include "eval/noise_sqnr.h"
#include "eval/perplexity.h"
#include "eval/slot_error.h"
#include "eval/zero_shot.h"

namespace stamp {

template <class Visitor>
void for_each_metric(Visitor&& visit) {
  visit.template operator()<Perplexity>();
  visit.template operator()<SlotError>();
  visit.template operator()<DecodePerplexity>();
  visit.template operator()<ZeroShot>();
  visit.template operator()<Leak>();
  visit.template operator()<Correlation>();
  visit.template operator()<NoiseSqnr>();
  visit.template operator()<ImageSqnr>();
  visit.template operator()<ClassAccuracy>();
  visit.template operator()<Frechet>();
  visit.template operator()<ClipScore>();
  visit.template operator()<Lpips>();
  visit.template operator()<ImageReward>();
}

}  // namespace stamp
