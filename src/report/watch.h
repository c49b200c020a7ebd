// The state of a sweep that runs, from what it leaves on the disk. Pure: the caller reads the files and the clock.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "report/source.h"

namespace stamp {

struct WatchInput {
  ReportSource source;
  // running.json: {"id", "started"} and, while a phase has said how far it is, {"phase", "done", "total"}.
  Json running;
  std::vector<std::string> queue;  // ids this run has set out to do; empty when no run is at work or all is asked for
  bool at_work = false;            // somebody holds the folder's lock
  double now = 0;                  // seconds since 1970
};

struct WatchState {
  std::string name;
  bool at_work = false;
  std::size_t planned = 0, done = 0, failed = 0, missing = 0, left = 0;  // left: not done and not known to be missing
  std::string trial, label;                                              // at work now; "" = between two trials
  std::string phase;                                                     // "run 12/36", "" when it has not said
  double elapsed = 0;                                                    // seconds of the present trial
  // Seconds until the end, from the mean time of the finished trials; nothing before the first one.
  std::optional<double> remaining;
  std::string last_id, last;  // newest record: "perplexity 69.45", "failed: nan_metric"
};

WatchState watch_state(const WatchInput& input);
// One line of changes, for a stdout that is no terminal; equal states of one trial and phase have equal lines.
std::string watch_line(const WatchState& state);
// A few lines with a bar, at most `width` characters each, for a terminal.
std::vector<std::string> watch_lines(const WatchState& state, std::size_t width);
// Seconds since 1970 of "2026-01-31T12:00:00Z"; nothing for another text.
std::optional<double> utc_seconds(const std::string& text);

}  // namespace stamp
