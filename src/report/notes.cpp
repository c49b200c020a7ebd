#include "report/notes.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/text.h"
#include "transforms/levels.h"

namespace stamp {

namespace {

std::string plural(std::size_t n, const std::string& one) {
  return fmt::format("{} {}{}", n, one, n == 1 ? "" : "s");
}

std::string text_at(const Json& json, const char* key) {
  const auto it = json.find(key);
  return it == json.end() ? std::string() : setting_text(*it);
}

std::string some(const std::set<std::string>& values) {
  std::vector<std::string> list(values.begin(), values.end());
  if (list.size() > 4) list = {list[0], list[1], list[2], fmt::format("{} more", list.size() - 3)};
  return join(list, ", ");
}

// "W4 A4.125 KV4.125" over all trials, or ranges.
std::string bits_note(const std::vector<const Record*>& done) {
  std::vector<std::string> parts;
  for (const auto& [key, head] :
       {std::pair{"weight_bits", "weights"}, {"activation_bits", "activations"}, {"kv_bits", "KV cache"}}) {
    std::set<double> values;
    for (const Record* r : done)
      if (const auto it = r->averages.find(key); it != r->averages.end() && it->is_number())
        values.insert(it->get<double>());
    if (values.empty()) continue;
    parts.push_back(values.size() == 1 ? fmt::format("{} {:.4g}", head, *values.begin())
                                       : fmt::format("{} {:.4g} to {:.4g}", head, *values.begin(), *values.rbegin()));
  }
  return parts.empty() ? "" : "Average bits: " + join(parts, ", ") + " (scales and zero points not counted).";
}

// Stored types of a checkpoint below 16 bits: {"Q4_1": 210, "F32": 61}, or a list of names.
std::set<std::string> low_types(const Record& r) {
  std::set<std::string> out;
  auto it = r.model.find("types");
  if (it == r.model.end()) it = r.model.find("tensor_types");
  if (it == r.model.end()) return out;
  const auto add = [&](const std::string& type) {
    if (type.starts_with("Q") || type.starts_with("q")) out.insert(type);
  };
  if (it->is_object())
    for (const auto& [type, count] : it->items()) add(type);
  else if (it->is_array())
    for (const Json& t : *it)
      if (t.is_string()) add(t.get<std::string>());
  return out;
}

// A transform by levels that has none leaves rows where they are. For settings of a text; what they hold is taken as
// read, so that foreign ones may throw.
bool mixes_no_rows(const Json& spec) {
  const Json& quantization = spec.at("quantization");
  const Json& sequence = quantization.at("sequence");
  const auto levels = sequence.find("levels");
  if (levels == sequence.end()) return false;
  SequenceTransformRequest request;
  request.options = sequence;
  if (!levels->is_number_integer()) {
    // Of questions no length is known, and without a complete allocation no number of high rows.
    const auto allocation = quantization.find("allocation");
    if (spec.contains("zero_shot") || allocation == quantization.end() || !allocation->contains("kind")) return false;
    const auto tokens = spec.at("data").at("context").get<std::int64_t>();
    const std::int64_t skip = sequence.value("skip_first", std::int64_t{0});
    request.tokens = tokens - skip;
    if (allocation->contains("high_tokens")) {
      const std::int64_t high = std::min(count_option(*allocation, "high_tokens", tokens), tokens);
      request.high_tokens = high > 0 ? std::max<std::int64_t>(high - skip, 1) : 0;
    }
  }
  const std::optional<LevelCount> count = level_count(sequence.value("transform", "identity"), request);
  return count && !count->mixes();
}

}  // namespace

bool makes_images(const Record& r) {
  return r.spec.contains("images");
}

bool sees_ahead(const Record& r) {
  if (makes_images(r)) return false;  // all tokens of an image are there at once: none is predicted from others
  const auto q = r.spec.find("quantization");
  if (q == r.spec.end() || !q->is_object()) return false;
  const auto s = q->find("sequence");
  if (s == q->end() || !s->is_object()) return false;
  const std::string transform = s->value("transform", "identity");
  // A mean over the whole sequence, taken off every token of it.
  if (const auto a = q->find("activations"); a != q->end() && a->is_object())
    if (a->value("shift", "none") == "sequence" ||
        (q->value("method", "") == "hadanorm" && a->value("bits", 16.0) < 16))
      return true;
  // Each slot one of several: what they got.
  if (!r.transforms.empty())
    return std::any_of(r.transforms.begin(), r.transforms.end(), [](const Json& t) { return t != "identity"; });
  if (transform == "identity") return false;  // settings that cannot matter are not in a canonical spec
  try {
    return !mixes_no_rows(r.spec);
  } catch (const std::exception&) {
    return true;  // settings of another version, which nothing can be said of
  }
}

std::vector<std::string> reader_notes(const ReportSource& source, const std::string& metric) {
  std::vector<std::string> notes;
  std::vector<const Record*> done;
  std::map<std::string, std::vector<std::string>> failed, missing;
  std::size_t pending = 0;
  for (const ReportTrial& t : source.trials) {
    if (t.record && t.record->status == "done")
      done.push_back(&*t.record);
    else if (t.record)
      failed[t.record->failure ? t.record->failure->kind : "unknown"].push_back(t.id);
    else if (!t.missing.empty())
      missing[t.missing].push_back(t.id);
    else
      ++pending;
  }
  if (source.smoke)
    notes.push_back(
        "A smoke run: one short window, or an image or two. It shows that everything runs and nothing else.");

  std::set<std::int64_t> windows;
  for (const Record* r : done) {
    const auto d = r->spec.find("data");
    const bool whole = d == r->spec.end() || d->value("windows", 0.0) == 0;
    for (const Metric& m : r->metrics)
      if (!whole && m.over == "windows" && (metric.empty() || m.name == metric)) windows.insert(m.n);
  }
  if (!windows.empty())
    notes.push_back(fmt::format("Measured on {} only, not on the whole text; small differences may be chance.",
                                *windows.begin() == *windows.rbegin()
                                    ? plural(static_cast<std::size_t>(*windows.begin()), "window")
                                    : fmt::format("{} to {} windows", *windows.begin(), *windows.rbegin())));
  std::set<std::int64_t> images;
  for (const Record* r : done)
    for (const Metric& m : r->metrics)
      if (m.over == "images" && m.name == metric) images.insert(m.n);
  if (!images.empty())
    notes.push_back(fmt::format("Means over {}; small differences may be chance.",
                                *images.begin() == *images.rbegin()
                                    ? plural(static_cast<std::size_t>(*images.begin()), "image")
                                    : fmt::format("{} to {} images", *images.begin(), *images.rbegin())));
  if (const std::string bits = bits_note(done); !bits.empty()) notes.push_back(bits);

  std::set<std::string> revisions, builds, cpus, threads;
  std::size_t dirty = 0;
  std::map<std::string, std::set<std::string>> stored;  // model -> types
  for (const Record* r : done) {
    revisions.insert(text_at(r->code, "revision"));
    builds.insert(text_at(r->code, "build"));
    cpus.insert(text_at(r->hardware, "cpu"));
    threads.insert(std::to_string(r->threads));
    if (r->code.value("dirty", false)) ++dirty;
    for (const std::string& type : low_types(*r)) stored[text_at(r->model, "name")].insert(type);
  }
  for (const auto& [model, types] : stored)
    notes.push_back(fmt::format(
        "{}: the checkpoint itself stores weights as {}; \"full precision\" means those values, dequantized.",
        model.empty() ? "Model" : model, some(types)));
  if (dirty)
    notes.push_back(
        fmt::format("Dirty code: {} made by sources that differ from their revision.", plural(dirty, "trial")));
  for (const std::string& build : builds)
    if (build != "Release" && build != "RelWithDebInfo" && build != "MinSizeRel" && !build.empty())
      notes.push_back(fmt::format("Some trials were made by a {} build.", build));
  if (revisions.size() > 1) notes.push_back("Mixed revisions of the code: " + some(revisions) + ".");
  if (cpus.size() > 1) notes.push_back("Mixed hardware: " + some(cpus) + ".");
  if (threads.size() > 1)
    notes.push_back("Mixed thread counts: " + some(threads) + "; sums differ in the last digits.");

  std::size_t findings = 0;
  double worst = 0;
  for (const Record* r : done)
    for (const char* key : {"findings", "violations"})
      if (const auto it = r->bound.find(key);
          it != r->bound.end() && it->is_number_integer() && it->get<std::int64_t>() > 0)
        ++findings;
  for (const Record* r : done)
    if (const auto it = r->bound.find("worst_ratio"); it != r->bound.end() && it->is_number())
      worst = std::max(worst, it->get<double>());
  if (findings)
    notes.push_back(
        fmt::format("FINDING: in {} an error exceeds Theorem 1 where its conditions hold (worst ratio {:.3g}).",
                    plural(findings, "trial"), worst));

  std::map<std::string, std::size_t> warnings;
  for (const Record* r : done)
    for (const std::string& w : r->warnings) ++warnings[w];
  std::size_t shown = 0;
  for (const auto& [text, n] : warnings) {
    if (++shown > 5) {
      notes.push_back(fmt::format("{} more kinds of warnings; `stamp show` has them.", warnings.size() - 5));
      break;
    }
    notes.push_back(n == done.size() ? text : fmt::format("{} ({}).", text, plural(n, "trial")));
  }

  for (const auto& [kind, ids] : failed)
    notes.push_back(fmt::format("{} failed ({}): {}.", plural(ids.size(), "trial"), kind, join(ids, ", ")));
  for (const auto& [why, ids] : missing)
    notes.push_back(fmt::format("{} could not run: {}.", plural(ids.size(), "trial"), why));
  if (pending) notes.push_back(fmt::format("{} not run yet.", plural(pending, "trial")));

  std::vector<std::pair<std::string, std::size_t>> excluded;
  for (const ReportSource::Excluded& x : source.excluded) {
    const auto it = std::find_if(excluded.begin(), excluded.end(), [&](const auto& e) { return e.first == x.because; });
    if (it == excluded.end())
      excluded.emplace_back(x.because, 1);
    else
      ++it->second;
  }
  for (const auto& [because, n] : excluded)
    notes.push_back(fmt::format("{} excluded: {}.", plural(n, "cell"), because));
  if (source.left_out)
    notes.push_back(
        fmt::format("{} of an earlier version of the experiment left out.", plural(source.left_out, "record")));
  return notes;
}

}  // namespace stamp
