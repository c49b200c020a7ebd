// Why a trial cannot run on its model and text, as far as headers and sizes of files tell.
#pragma once
#include <optional>
#include <string>

#include "base/plugin.h"
#include "sweep/model_shape.h"

namespace stamp {

// "" when nothing speaks against it; a phrase that can stand alone otherwise. `text_bytes`: of the text that is
// evaluated, nothing where it is not known. A token stands for one byte or more.
std::string misfit(const TrialSpec& spec, const ModelShape& shape, std::optional<double> text_bytes,
                   const Catalog& catalog);

}  // namespace stamp
