// A checkpoint as another one has it, for tests that change its configuration or its list of tensors.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "formats/checkpoint.h"

namespace stamp::test {

// The same tensors under another config.json and other names.
class Changed : public Checkpoint {
 public:
  explicit Changed(std::shared_ptr<const Checkpoint> of)
      : of_(std::move(of)), config_(of_->config()), tensors_(of_->tensors()) {}
  std::string format() const override { return of_->format(); }
  std::string architecture() const override { return of_->architecture(); }
  const Json& config() const override { return config_; }
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  std::string path() const override { return of_->path(); }
  std::vector<std::string> files() const override { return of_->files(); }
  Json& mutable_config() { return config_; }
  std::vector<TensorInfo>& mutable_tensors() { return tensors_; }

 private:
  std::shared_ptr<const Checkpoint> of_;
  Json config_;
  std::vector<TensorInfo> tensors_;
};

}  // namespace stamp::test
