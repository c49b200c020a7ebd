#include "models/diffusion/diffusion_model.h"

#include "base/error.h"
#include "models/diffusion/diffusion_network.h"
#include "models/info/architecture.h"
#include "models/linear.h"
#include "models/pipeline/image_set.h"

namespace stamp {
namespace {

class DiffusionModel : public Model {
 public:
  DiffusionModel(std::shared_ptr<const Checkpoint> checkpoint, const ModelSpec& spec)
      : source_(std::make_shared<DiffusionSource>(checkpoint)), path_(spec.path) {
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
  std::shared_ptr<Workload> images(const ImageSpec& spec, const CalibrationSpec* calibration) const override {
    if (!pipeline_) pipeline_ = open_pipeline(path_, source_);
    return std::make_shared<ImageSet>(pipeline_, calibration ? plan_calibration_images(*pipeline_, spec, *calibration)
                                                             : plan_images(*pipeline_, spec));
  }

 private:
  [[noreturn]] void refuse() const {
    throw TrialError("unsupported", source_->config().architecture +
                                        " makes images and reads no texts; evaluate metrics of images or steps, such "
                                        "as image_sqnr and noise_sqnr, with slot_error beside them");
  }
  std::shared_ptr<const DiffusionSource> source_;
  std::string path_;
  mutable std::shared_ptr<const Pipeline> pipeline_;  // opened when images are first asked for
  Json description_;
};

}  // namespace

std::unique_ptr<Model> open_diffusion(std::shared_ptr<const Checkpoint> checkpoint, const ModelSpec& spec) {
  return std::make_unique<DiffusionModel>(std::move(checkpoint), spec);
}

}  // namespace stamp
