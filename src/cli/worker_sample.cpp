#include "cli/worker_sample.h"

#include <fmt/format.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "base/files.h"
#include "base/text.h"
#include "cli/sample_request.h"
#include "cli/terminal_line.h"
#include "engine/image_sampling.h"
#include "formats/json_text.h"
#include "images/png.h"
#include "images/sheet.h"
#include "results/provenance.h"

namespace stamp {

namespace {

class Bar : public TerminalLine {
 public:
  void at(const std::string& phase, std::int64_t done, std::int64_t total) override {
    if (!terminal()) return;
    const Clock::time_point now = Clock::now();
    if (phase != phase_) {
      phase_ = phase;
      since_ = now;
      first_ = done;
    }
    constexpr std::int64_t cells = 24;
    const std::int64_t full = total > 0 ? cells * done / total : 0;
    std::string line = fmt::format("{:<8} [{}{}] {} of {}", phase, std::string(static_cast<std::size_t>(full), '#'),
                                   std::string(static_cast<std::size_t>(cells - full), '.'), done, total);
    if (done > first_) {
      const double each = std::chrono::duration<double>(now - since_).count() / static_cast<double>(done - first_);
      line += fmt::format(", {:.2g} s each, {} left", each, duration_text(each * static_cast<double>(total - done)));
    }
    show(line);
  }

 private:
  using Clock = std::chrono::steady_clock;
  std::string phase_;
  Clock::time_point since_{};
  std::int64_t first_ = 0;
};

void tell(const fs::path& file) {
  const std::string line = file.string() + "\n";
  if (std::fwrite(line.data(), 1, line.size(), stdout) != line.size() || std::fflush(stdout) != 0)
    throw StoreError(fmt::format("standard output could not be written: {}", std::strerror(errno)));
}

// Beyond this a sheet is of no use, and would take more memory than a step of a large model.
constexpr std::int64_t kMostSheetPixels = std::int64_t{1} << 26;

bool write_sheet(const fs::path& path, const std::vector<LabelledImage>& images) {
  const ByteImage& first = images.front().image;
  if (first.height * first.width * static_cast<std::int64_t>(images.size()) > kMostSheetPixels) return false;
  SheetLayout layout;
  layout.columns = static_cast<std::int64_t>(std::ceil(std::sqrt(static_cast<double>(images.size()))));
  layout.scale = first.width < 256 ? 1 : 2;
  write_png(path, sheet(images, layout));
  return true;
}

ImageSamplingRequest wanted_of(const SampleRequest& r) {
  ImageSamplingRequest wanted;
  wanted.prompts = r.prompts;
  wanted.classes = r.classes;
  wanted.count = r.count;
  wanted.sampling.steps = r.steps;
  wanted.sampling.guidance = r.guidance;
  wanted.sampling.height = r.height;
  wanted.sampling.width = r.width;
  wanted.sampling.negative_prompt = r.negative;
  wanted.seed = r.seed;
  wanted.streamed = r.streamed;
  return wanted;
}

// What belongs to the images so that they can be made again.
Json account_of(const SampleRequest& request, const Session& session, const ImageSamplingReport& report) {
  const Sampling& s = report.sampling;
  Json out;
  out["made"] = utc_now();
  out["code"] = code_provenance();
  out["model"] = session.model_description();
  out["pipeline"] = report.pipeline;
  out["steps"] = s.steps;
  out["guidance"] = s.embedded_guidance.value_or(s.guidance);
  out["negative_prompt"] = s.negative_prompt;
  out["height"] = s.height;
  out["width"] = s.width;
  out["rendered_height"] = s.rendered_height;
  out["rendered_width"] = s.rendered_width;
  out["seed"] = request.seed;
  out["quantization"] = request.trial.value("quantization", Json());
  out["weight_bits"] = report.weight_bits;
  out["activation_bits"] = report.activation_bits;
  return out;
}

}  // namespace

ExitCode run_sample(const std::string& file, const Schema& schema, Session& session) {
  const SampleRequest request = sample_request(parse_json(read_file(file), "the request"));
  const fs::path folder = request.output;
  make_folder(folder);

  const std::unique_ptr<Log> log = null_log();
  Bar bar;
  Monitor monitor(*log, bar);
  std::vector<LabelledImage> images;
  Json list = Json::array();
  std::size_t warned = 0;
  const auto say_warnings = [&] {
    bar.clear();
    for (; warned < monitor.warnings().size(); ++warned) fmt::print(stderr, "stamp: {}\n", monitor.warnings()[warned]);
  };
  const auto give = [&](const SampledImage& made) {
    say_warnings();
    const fs::path path = folder / (made.name + ".png");
    ByteImage bytes = to_bytes(made.image);
    write_png(path, bytes);
    tell(path);
    list.push_back({{"file", path.filename().string()}, {"label", made.label}, {"seed", made.seed}});
    images.push_back({made.label, std::move(bytes)});
  };
  const ImageSamplingReport report =
      sample_images(session, trial_from_json(request.trial, schema), wanted_of(request), give, monitor);
  say_warnings();
  if (images.size() > 1) {
    const fs::path path = folder / "sheet.png";
    if (write_sheet(path, images)) tell(path);
  }
  Json account = account_of(request, session, report);
  account["images"] = list;
  write_file_atomic(folder / "samples.json", account.dump(1) + "\n");
  tell(folder / "samples.json");
  fmt::print(stderr, "{}\n", text_of(report));
  return ExitCode::done;
}

}  // namespace stamp
