#include "models/diffusion/diffusion_model.h"

#include "base/error.h"
#include "models/diffusion/diffusion_network.h"
#include "models/info/architecture.h"
#include "models/linear.h"

namespace stamp {
namespace {

class DiffusionModel : public Model {
 public:
  DiffusionModel(std::shared_ptr<const Checkpoint> checkpoint, const ModelSpec& spec)
      : source_(std::make_shared<DiffusionSource>(checkpoint)) {
    description_["name"] = spec.name;
    description_["digest"] = checkpoint->digest();
    description_.update(describe_model(*checkpoint));
    description_["gemm"] = linear_backend();
  }
  Json description() const override { return description_; }
  std::unique_ptr<Network> build(bool load_blocks) const override {
    return make_diffusion_network(source_, load_blocks);
  }
  std::unique_ptr<Workload> workload(const DataSpec&) const override { refuse(); }
  std::unique_ptr<Workload> workload(const CalibrationSpec&) const override { refuse(); }

 private:
  [[noreturn]] void refuse() const {
    throw TrialError("unsupported", source_->config().architecture + " reads latents, not texts");
  }
  std::shared_ptr<const DiffusionSource> source_;
  Json description_;
};

}  // namespace

std::unique_ptr<Model> open_diffusion(std::shared_ptr<const Checkpoint> checkpoint, const ModelSpec& spec) {
  return std::make_unique<DiffusionModel>(std::move(checkpoint), spec);
}

}  // namespace stamp
