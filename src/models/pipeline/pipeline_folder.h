// The parts of a pipeline in diffusers layout: which folder holds which, and messages about those that are not there.
// Specification models 1.2, 15.
#pragma once
#include <string>
#include <vector>

#include "base/files.h"
#include "base/json.h"

namespace stamp {

class PipelineFolder {
 public:
  // A pipeline's folder, its transformer folder, or a weight file in that one. DataError: not there, or a
  // model_index.json that is damaged or names another pipeline than the supported ones.
  explicit PipelineFolder(const std::string& path);
  const fs::path& root() const { return root_; }
  std::string denoiser() const { return denoiser_.string(); }    // what to open
  const std::string& class_name() const { return class_name_; }  // "PixArtSigmaPipeline"; "" without model_index.json
  const Json& index() const { return index_; }                   // model_index.json, {} without it
  std::string place(const std::string& part) const;              // "ROOT/part", for messages

  // Whether model_index.json says that the pipeline does without it, or where there is none, no such folder exists.
  bool leaves_out(const std::string& part) const;
  // The folder of a part, with `file` in it. `what`: "the autoencoder of PixArtTransformer2DModel". DataError.
  std::string part(const std::string& part, const std::string& file, const std::string& what) const;
  Json scheduler() const;  // scheduler/scheduler_config.json

  static const std::vector<std::string>& supported();  // class names of pipelines

 private:
  fs::path root_, denoiser_;
  std::string class_name_;
  Json index_ = Json::object();
};

}  // namespace stamp
