#include "cli/worker_generate.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "base/files.h"
#include "cli/generate_request.h"
#include "cli/terminal_line.h"
#include "engine/generation.h"
#include "formats/json_text.h"

namespace stamp {

namespace {

std::atomic<bool> writing_text{false};
std::atomic<bool> asked{false};

void handle(int) {
  if (!writing_text || asked) _exit(static_cast<int>(ExitCode::interrupted));
  asked = true;
}

void install_handlers() {
  struct sigaction action {};
  action.sa_handler = handle;
  sigemptyset(&action.sa_mask);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaction(signal, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);  // write() says so
}

bool write_text(std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(STDOUT_FILENO, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EPIPE) return false;
    if (n < 0) throw StoreError(fmt::format("standard output could not be written: {}", std::strerror(errno)));
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

}  // namespace

ExitCode run_generate(const std::string& file, const Schema& schema, Session& session) {
  const GenerateRequest request = generate_request(parse_json(read_file(file), "the request"));
  install_handlers();
  GenerationRequest wanted;
  wanted.prompt = request.prompt;
  wanted.max_tokens = request.max_tokens;
  wanted.sampling = request.sampling;
  wanted.view = request.keep_view ? CacheView::keep : CacheView::rebuild;

  const std::unique_ptr<Log> log = null_log();
  Waiting waiting;
  Monitor monitor(*log, waiting);
  std::size_t warned = 0;
  const auto give = [&](std::string_view text) {
    waiting.clear();
    for (; warned < monitor.warnings().size(); ++warned) fmt::print(stderr, "stamp: {}\n", monitor.warnings()[warned]);
    writing_text = true;
    return write_text(text);
  };
  const GenerationReport report = generate(
      session, trial_from_json(request.trial, schema), wanted, give, [] { return asked.load(); }, monitor);
  waiting.clear();
  if (report.end != "nobody reads") write_text("\n");
  if (request.stats) fmt::print(stderr, "{}\n", text_of(report));
  return report.end == "interrupted" ? ExitCode::interrupted : ExitCode::done;
}

}  // namespace stamp
