#include "methods/spinquant_decoder.h"

#include "base/error.h"
#include "models/decoder/decoder_network.h"
#include "training/decoder_block.h"

namespace stamp {
namespace {

// What the rotations of SpinQuant and its loss do not cover.
void require_known(const DecoderConfig& c) {
  if (c.post_norms || c.sliding_rope || c.final_softcap > 0)
    throw TrialError("method",
                     "spinquant trains decoders without post norms, soft-capped logits and a RoPE of their own in "
                     "sliding layers; this one is " +
                         c.architecture + " (learn: false does not train)");
}

}  // namespace

training::FrozenDecoder frozen_decoder(Network& network) {
  auto* decoder = dynamic_cast<DecoderNetwork*>(&network);
  if (!decoder) throw TrialError("method", "spinquant trains decoder language models; this model is none");
  const DecoderConfig& c = decoder->config();
  require_known(c);
  const bool resident = decoder->layer(0).loaded();
  decoder->load(0);
  const training::DecoderBlock first = training::read_block(network, 0, "spinquant");
  if (!resident) decoder->release(0);

  training::FrozenDecoder out;
  out.hidden = c.hidden;
  for (const std::int64_t window : c.windows) {
    out.shapes.push_back(first.shape);
    out.shapes.back().window = window;
  }
  out.frequencies = first.frequencies;
  out.norm_eps = c.norm_eps;
  out.head = decoder->head_weight();
  out.embed = [decoder](const at::Tensor& ids) {
    WorkItem item;
    item.inputs["ids"] = ids;
    return decoder->enter(item);
  };
  out.resident = resident;
  out.block = [decoder](std::size_t i) {
    decoder->load(i);
    return training::read_block(*decoder, i, "spinquant").weights;
  };
  if (!resident) out.release = [decoder](std::size_t i) { decoder->release(i); };
  return out;
}

}  // namespace stamp
