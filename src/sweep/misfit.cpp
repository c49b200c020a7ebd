#include "sweep/misfit.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "config/schema.h"

namespace stamp {

namespace {

std::string first_metric(const TrialSpec& spec, const Catalog& catalog, bool of_images) {
  for (const std::string& name : spec.evaluate) {
    const PluginInfo* info = catalog.find(PluginKind::metric, name);
    const std::string what = info ? info->reads : PluginInfo().reads;
    if (what != "items" && (what == "images" || what == "steps") == of_images) return name;
  }
  return join(spec.evaluate, ", ");
}

}  // namespace

std::string misfit(const TrialSpec& spec, const ModelShape& shape, std::optional<double> text_bytes,
                   const Catalog& catalog) {
  const bool images = reads(spec, "images", catalog);
  const bool texts = reads(spec, "data", catalog) || reads(spec, "zero_shot", catalog);
  if (shape.known() && images && !shape.makes_images())
    return fmt::format("{} is a language model, and {} is a metric of images; perplexity and slot_error are for texts",
                       spec.model.name, first_metric(spec, catalog, true));
  if (shape.known() && texts && shape.makes_images())
    return fmt::format(
        "{} makes images, and {} is a metric of texts; image_sqnr and slot_error beside it are for images",
        spec.model.name, first_metric(spec, catalog, false));
  if (!reads(spec, "data", catalog) || !text_bytes) return "";
  const double tokens =
      static_cast<double>(spec.data.context) * static_cast<double>(std::max<std::int64_t>(spec.data.windows, 1));
  if (tokens <= *text_bytes) return "";
  const auto most = static_cast<std::int64_t>(*text_bytes) / spec.data.context;
  return fmt::format("text \"{}\" has {} bytes, no more than {} windows of {} tokens (data.windows is {})",
                     spec.data.text, number_text(*text_bytes), most, spec.data.context, spec.data.windows);
}

}  // namespace stamp
