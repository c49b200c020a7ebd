#include "sweep/machine_speed.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>
#include <vector>

namespace stamp {

namespace {

constexpr int format_version = 1;  // raised when a number changes its meaning

// Name and place of every plain number, for both directions.
template <class Speed>
auto numbers(Speed& s) {
  using Number = decltype(&s.attention);
  return std::vector<std::pair<const char*, Number>>{
      {"double_product", &s.double_product},
      {"attention", &s.attention},
      {"row_work", &s.row_work},
      {"gate", &s.gate},
      {"exponential", &s.exponential},
      {"hadamard", &s.hadamard},
      {"statistics", &s.statistics},
      {"clip_search", &s.clip_search},
      {"rounding", &s.rounding},
      {"load", &s.load},
      {"pack", &s.pack},
      {"eigen", &s.eigen},
      {"program_bytes", &s.program_bytes},
  };
}

}  // namespace

double MachineSpeed::linear_at(double width) const {
  if (linear.empty()) return 0;
  const auto above = linear.lower_bound(static_cast<std::int64_t>(width));
  if (above == linear.begin()) return above->second;
  if (above == linear.end()) return std::prev(above)->second;
  const auto below = std::prev(above);
  const double low = std::log(static_cast<double>(below->first)), high = std::log(static_cast<double>(above->first));
  const double t = (std::log(width) - low) / (high - low);
  return (1 - t) * below->second + t * above->second;
}

double MachineSpeed::quantizer_at(const std::string& transform) const {
  if (const auto found = quantizer.find(transform); found != quantizer.end()) return found->second;
  double slowest = 0;
  for (const auto& [name, seconds] : quantizer) slowest = std::max(slowest, seconds);
  return slowest;
}

Json to_json(const MachineSpeed& speed) {
  Json j = {{"version", format_version}, {"threads", speed.threads}};
  for (const auto& [name, value] : numbers(speed)) j[name] = *value;
  j["linear"] = Json::object();
  for (const auto& [width, flops] : speed.linear) j["linear"][std::to_string(width)] = flops;
  j["quantizer"] = speed.quantizer;
  return j;
}

MachineSpeed machine_speed_from_json(const Json& json) {
  MachineSpeed speed;
  if (!json.is_object() || json.value("version", 0) != format_version) return {};
  try {
    speed.threads = json.at("threads").get<int>();
    for (const auto& [name, value] : numbers(speed)) {
      *value = json.at(name).get<double>();
      if (!(*value > 0)) return {};
    }
    for (const auto& [width, flops] : json.at("linear").items()) speed.linear[std::stoll(width)] = flops.get<double>();
    speed.quantizer = json.at("quantizer").get<std::map<std::string, double>>();
  } catch (const std::exception&) {  // a file that somebody else wrote, or half of one
    return {};
  }
  return speed.quantizer.empty() ? MachineSpeed{} : speed;
}

}  // namespace stamp
