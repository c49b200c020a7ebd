#include "models/decoder/decoder_model.h"

#include "data/text.h"
#include "models/decoder/decoder_network.h"
#include "models/info/architecture.h"
#include "models/info/end_tokens.h"
#include "models/linear.h"
#include "models/task_workload.h"
#include "models/token_workload.h"
#include "tokenizer/tokenizer.h"

namespace stamp {
namespace {

class DecoderModel : public Model {
 public:
  DecoderModel(std::shared_ptr<const Checkpoint> checkpoint, const ModelSpec& spec)
      : source_(std::make_shared<DecoderSource>(checkpoint)),
        tokenizer_(open_tokenizer(*checkpoint)),
        texts_(*tokenizer_, source_->config().vocabulary) {
    description_["name"] = spec.name;
    description_["digest"] = checkpoint->digest();
    description_.update(describe_model(*checkpoint));
    description_["tokenizer"] = {{"kind", tokenizer_->kind()}, {"digest", tokenizer_->digest()}};
    description_["gemm"] = linear_backend();
  }

  Json description() const override { return description_; }
  std::unique_ptr<Network> build(bool load_blocks) const override {
    return std::make_unique<DecoderNetwork>(source_, load_blocks);
  }
  const Tokenizer* tokenizer() const override { return tokenizer_.get(); }
  std::vector<std::int64_t> end_tokens() const override { return stamp::end_tokens(source_->checkpoint()); }
  std::unique_ptr<Workload> workload(const DataSpec& data) const override {
    WindowRequest request;
    request.context = data.context;
    request.count = data.windows;
    return texts_.windows(data.text, request, data.bos);
  }
  std::unique_ptr<Workload> workload(const CalibrationSpec& data) const override {
    WindowRequest request;
    request.context = data.context;
    request.count = data.samples;
    request.random = data.select == "random";
    request.seed = data.seed;
    return texts_.windows(data.text, request, "start");
  }

  std::unique_ptr<Workload> questions(const ZeroShotSpec& spec, const std::string& task) const override {
    return task_workload(task, spec, *tokenizer_, source_->config().vocabulary);
  }

 private:
  std::shared_ptr<const DecoderSource> source_;
  std::unique_ptr<Tokenizer> tokenizer_;
  TokenizedTexts texts_;
  Json description_;
};

}  // namespace

std::unique_ptr<Model> open_decoder(std::shared_ptr<const Checkpoint> checkpoint, const ModelSpec& spec) {
  return std::make_unique<DecoderModel>(std::move(checkpoint), spec);
}

}  // namespace stamp
