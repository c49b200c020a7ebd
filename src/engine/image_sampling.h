// Images of prompts or classes under the settings of a trial. Specification models 15; methods 13.5.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/session.h"
#include "eval/evaluator.h"
#include "models/pipeline/pipeline.h"

namespace stamp {

struct ImageSamplingRequest {
  std::vector<std::string> prompts;  // texts, for models of text
  std::vector<std::string> classes;  // numbers or names, for class-conditional ones
  std::int64_t count = 1;            // images of each
  SamplingRequest sampling;
  std::uint64_t seed = 0;  // added to each image's own, the hash of its name
  bool streamed = false;   // the denoiser's blocks come from the file one at a time; full precision only
};

struct SampledImage {
  std::string name;   // "0000", "0001", ...
  std::string label;  // the prompt, or "3 cat"
  std::uint64_t seed = 0;
  Image image;
};

struct ImageSamplingReport {
  std::int64_t images = 0;
  Sampling sampling;
  double text_s = 0, denoise_s = 0, decode_s = 0;
  double weight_bits = 16, activation_bits = 16;  // without scales
  Json pipeline;                                  // as Pipeline::description()
};

// Opens pipeline and model, encodes the prompts, frees the text encoder, prepares the denoiser, and hands out every
// image when it is finished. Errors as of Session and Pipeline; ConfigError for a streamed request that quantizes, and
// for one without prompts and classes or with both.
ImageSamplingReport sample_images(Session& session, TrialSpec spec, const ImageSamplingRequest& request,
                                  const std::function<void(const SampledImage&)>& give, Monitor& monitor);

std::string text_of(const ImageSamplingReport& report);  // some lines for a person

}  // namespace stamp
