// Log lines of the program and of single trials; spdlog stays behind this header.
#pragma once
#include <memory>
#include <string>

namespace stamp {

class Log {
 public:
  virtual ~Log() = default;
  virtual void info(const std::string& text) = 0;
  virtual void warn(const std::string& text) = 0;
};
std::unique_ptr<Log> file_log(const std::string& path);  // truncates; one line an event with time
std::unique_ptr<Log> null_log();

}  // namespace stamp
