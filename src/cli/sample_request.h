// What `stamp sample` asks its worker for, as one JSON text.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"

namespace stamp {

struct SampleRequest {
  Json trial;  // as with_paths() writes it
  std::vector<std::string> prompts, classes;
  std::int64_t count = 1;
  std::optional<std::int64_t> steps, height, width;
  std::optional<double> guidance;
  std::string negative;
  std::uint64_t seed = 0;
  bool streamed = false;
  std::string output = "samples";  // folder
};

namespace detail {
template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}
template <class T>
std::optional<T> unless_null(const Json& value) {
  return value.is_null() ? std::nullopt : std::optional<T>(value.get<T>());
}
}  // namespace detail

inline Json to_json(const SampleRequest& r) {
  return {{"trial", r.trial},
          {"prompts", r.prompts},
          {"classes", r.classes},
          {"count", r.count},
          {"steps", detail::or_null(r.steps)},
          {"height", detail::or_null(r.height)},
          {"width", detail::or_null(r.width)},
          {"guidance", detail::or_null(r.guidance)},
          {"negative", r.negative},
          {"seed", r.seed},
          {"streamed", r.streamed},
          {"output", r.output}};
}

inline SampleRequest sample_request(const Json& j) {
  SampleRequest r;
  r.trial = j.at("trial");
  r.prompts = j.at("prompts").get<std::vector<std::string>>();
  r.classes = j.at("classes").get<std::vector<std::string>>();
  r.count = j.at("count");
  r.steps = detail::unless_null<std::int64_t>(j.at("steps"));
  r.height = detail::unless_null<std::int64_t>(j.at("height"));
  r.width = detail::unless_null<std::int64_t>(j.at("width"));
  r.guidance = detail::unless_null<double>(j.at("guidance"));
  r.negative = j.at("negative");
  r.seed = j.at("seed");
  r.streamed = j.at("streamed");
  r.output = j.at("output");
  return r;
}

}  // namespace stamp
