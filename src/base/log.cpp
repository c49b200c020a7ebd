#include "base/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/spdlog.h>

#include "base/error.h"

namespace stamp {
namespace {

class FileLog : public Log {
 public:
  explicit FileLog(const std::string& path) {
    try {
      logger_ =
          std::make_shared<spdlog::logger>("stamp", std::make_shared<spdlog::sinks::basic_file_sink_mt>(path, true));
    } catch (const spdlog::spdlog_ex& e) {
      throw StoreError("cannot write the log " + path + ": " + e.what());
    }
    logger_->set_pattern("%Y-%m-%dT%H:%M:%S.%e %l %v");
    logger_->flush_on(spdlog::level::info);
  }
  void info(const std::string& text) override { logger_->info(text); }
  void warn(const std::string& text) override { logger_->warn(text); }

 private:
  std::shared_ptr<spdlog::logger> logger_;
};

class NullLog : public Log {
 public:
  void info(const std::string&) override {}
  void warn(const std::string&) override {}
};

}  // namespace

std::unique_ptr<Log> file_log(const std::string& path) {
  return std::make_unique<FileLog>(path);
}
std::unique_ptr<Log> null_log() {
  return std::make_unique<NullLog>();
}

}  // namespace stamp
