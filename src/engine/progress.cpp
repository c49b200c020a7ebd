#include "engine/progress.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace stamp {

namespace {

double seconds(std::chrono::steady_clock::duration d) {
  return std::chrono::duration<double>(d).count();
}

constexpr std::size_t terminal_width = 79;

}  // namespace

std::string SweepProgress::head() const {
  return fmt::format("[{}/{}] {}", number_, trials_, label_);
}

void SweepProgress::show(const std::string& text) {
  if (terminal_) {
    // Carriage return and "erase to the end of the line"; a longer text would leave a trail of lines.
    fmt::print(out_, "\r{}\x1b[K", text.substr(0, terminal_width));
  } else {
    fmt::print(out_, "{}\n", text);
  }
  std::fflush(out_);
}

void SweepProgress::begin(const std::string& label) {
  ++number_;
  label_ = label;
  begun_ = Clock::now();
  if (terminal_) show(head());
}

void SweepProgress::at(const std::string& phase, std::int64_t done, std::int64_t total) {
  if (!terminal_) return;
  const auto now = Clock::now();
  if (seconds(now - shown_) < 0.1 && done > 0) return;
  shown_ = now;
  std::string text = head() + ": " + phase;
  if (total > 0) text += fmt::format(" {}/{}", done + 1 > total ? total : done + 1, total);
  const double left = remaining_s();
  if (left >= 0) text += ", about " + duration_text(left) + " left";
  show(text);
}

void SweepProgress::end(const std::string& outcome) {
  const double took = seconds(Clock::now() - begun_);
  finished_s_ += took;
  ++finished_;
  std::string text = fmt::format("{}: {} ({})", head(), outcome, duration_text(took));
  if (number_ < trials_)
    text += fmt::format(", about {} left", duration_text(finished_s_ / static_cast<double>(finished_) *
                                                         static_cast<double>(trials_ - number_)));
  line(text);
}

void SweepProgress::line(const std::string& text) {
  fmt::print(out_, "{}{}{}\n", terminal_ ? "\r" : "", text, terminal_ ? "\x1b[K" : "");
  std::fflush(out_);
}

double SweepProgress::remaining_s() const {
  if (finished_ == 0) return -1;
  const double mean = finished_s_ / static_cast<double>(finished_);
  const double waiting = static_cast<double>(trials_ - number_) * mean;
  return waiting + std::max(0.0, mean - seconds(Clock::now() - begun_));
}

}  // namespace stamp
