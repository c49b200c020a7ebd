#include "methods/spinquant_decoder.h"

#include "base/error.h"
#include "models/decoder/decoder_network.h"
#include "training/decoder_block.h"

namespace stamp {

training::FrozenDecoder frozen_decoder(Network& network) {
  auto* decoder = dynamic_cast<DecoderNetwork*>(&network);
  if (!decoder) throw TrialError("method", "spinquant trains decoder language models; this model is none");
  const DecoderConfig& c = decoder->config();
  const bool resident = decoder->layer(0).loaded();
  decoder->load(0);
  const training::DecoderBlock first = training::read_block(network, 0, "spinquant");
  if (!resident) decoder->release(0);

  training::FrozenDecoder out;
  out.hidden = c.hidden;
  for (std::size_t block = 0; block < c.windows.size(); ++block) {
    out.shapes.push_back(first.shape);
    out.shapes.back().window = c.windows[block];
    out.frequencies.push_back(decoder->rope_frequencies(block));
  }
  out.final_softcap = c.final_softcap;
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
