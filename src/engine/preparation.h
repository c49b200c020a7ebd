// Method and weight quantizer applied to a network, one block after the other, with the calibration rows that they need
// kept in step: the same code prepares a model in memory and one that is walked through from its file.
// Specification methods 4.3, 8.3; models 6.1.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/calibration.h"
#include "engine/monitor.h"
#include "engine/plugins.h"
#include "methods/method.h"
#include "models/network.h"
#include "weights/weight_quantizer.h"

namespace stamp {

struct PreparationRequest {
  const MethodPlugin* method = nullptr;
  const WeightQuantizerPlugin* weights = nullptr;  // null: weights stay in full precision
  const TrialSpec* spec = nullptr;
  const Workload* calibration = nullptr;  // null when neither needs it
  // Maxima of a whole calibration pass; null: measured block by block on the way.
  const ChannelMaxima* maxima = nullptr;
  MethodStore* store = nullptr;
  std::function<void(const std::string&)> warn;
};

class Preparation {
 public:
  // Starts the method. The network is fresh and unpacked; block i must be loaded when block(i) is called.
  Preparation(Network& network, const PreparationRequest& request, Monitor& monitor);
  ~Preparation();
  void block(std::size_t index);  // in order; leaves the block quantized and packed
  void finish();                  // packs what lies outside the blocks
  const Json& training() const { return training_; }

 private:
  bool follows_full_precision() const;
  void enter_full_precision();
  void measure_block(std::size_t index);

  Network& network_;
  PreparationRequest request_;
  Monitor& monitor_;
  MethodContext context_;
  std::unique_ptr<MethodRun> run_;
  std::unique_ptr<WeightQuantizer> quantizer_;
  ChannelMaxima measured_;                  // of the current block
  std::vector<at::Tensor> full_precision_;  // rows entering the current block in the untouched model
  std::vector<at::Tensor> next_;            // and leaving it
  std::vector<BlockState> states_;          // rows entering it in the network as prepared so far
  Json training_ = Json::array();
};

}  // namespace stamp
