#include "engine/monitor.h"

#include <algorithm>
#include <exception>

namespace stamp {

Monitor::Phase::Phase(Monitor& monitor, const std::string& name)
    : monitor_(monitor), exceptions_(std::uncaught_exceptions()) {
  monitor_.attribute();
  monitor_.open_.push_back(name);
  monitor_.progress_.at(name, 0, 0);
}

Monitor::Phase::~Phase() {
  monitor_.attribute();
  if (std::uncaught_exceptions() > exceptions_ && monitor_.failed_phase_.empty())
    monitor_.failed_phase_ = monitor_.open_.back();
  monitor_.open_.pop_back();
}

void Monitor::attribute() {
  const auto now = std::chrono::steady_clock::now();
  if (!open_.empty()) timing_s_[open_.back()] += std::chrono::duration<double>(now - since_).count();
  since_ = now;
}

void Monitor::step(std::int64_t done, std::int64_t total) {
  progress_.at(open_.empty() ? "" : open_.back(), done, total);
}

void Monitor::warn(const std::string& text) {
  if (std::find(warnings_.begin(), warnings_.end(), text) != warnings_.end()) return;
  warnings_.push_back(text);
  log_.warn(text);
}

}  // namespace stamp
