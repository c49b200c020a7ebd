#include "report/plot_data.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "base/text.h"
#include "report/notes.h"
#include "report/table.h"

namespace stamp {

namespace {

std::string optional_number(const std::optional<double>& v) {
  return v ? number_text(*v) : "";
}

std::string average(const Record& r, const char* key) {
  const auto it = r.averages.find(key);
  return it == r.averages.end() ? "" : setting_text(*it);
}

std::string data_number(const Record& r, const char* key) {
  const auto it = r.data.find(key);
  return it == r.data.end() ? "" : setting_text(*it);
}

// id, model, method, transform, label: the head of every line.
class Heads {
 public:
  explicit Heads(const ReportSource& source) {
    for (const std::string& p : varied_paths(source))
      if (!drawn_by_style(p)) others_.push_back(p);
  }
  std::vector<std::string> of(const ReportTrial& t, const Json& labels) const {
    const Json& spec = t.record->spec;
    std::vector<std::string> f{t.id};
    for (const char* path : {"model.name", "quantization.method", "quantization.sequence.transform"}) {
      const auto value = setting(labels, spec, path);
      f.push_back(value ? setting_text(*value) : "");
    }
    f.push_back(label_text(labels, others_));
    return f;
  }

 private:
  std::vector<std::string> others_;
};

// Finished trials; a trial that stands in several places of the sweep is drawn once, at its first.
template <class Visit>
void for_each_done(const ReportSource& source, Visit&& visit) {
  static const Json none = Json::object();
  for (const ReportTrial& t : source.trials)
    if (t.record && t.record->status == "done") visit(t, t.labels.empty() ? none : t.labels.front());
}

std::string layer_of(const std::string& slot) {
  const std::vector<std::string> parts = split(slot, '.');
  for (std::size_t i = 0; i + 1 < parts.size(); ++i)
    if (parts[i].ends_with("layers") || parts[i].ends_with("blocks")) return parts[i + 1];
  return "";
}

void append(std::vector<std::string>& to, std::initializer_list<std::string> more) {
  to.insert(to.end(), more);
}

}  // namespace

bool drawn_by_style(const std::string& path) {
  return path == "model.name" || path == "model.path" || path == "quantization.method" ||
         path == "quantization.sequence.transform";
}

std::string perplexity_csv(const ReportSource& source, const std::string& metric) {
  const Heads heads(source);
  std::string out = csv_line({"id", "model", "method", "transform", "label", "value", "low", "high", "n", "fp",
                              "activation_bits", "kv_bits", "weight_bits", "protocol"});
  static const Json none = Json::object();
  for (const ReportTrial& t : source.trials) {
    if (!t.record || t.record->status != "done") continue;
    const Metric* m = find_metric(*t.record, metric);
    if (!m) continue;
    const Metric* fp = find_metric(*t.record, metric + "_fp");
    std::vector<Json> places = t.labels;
    if (places.empty()) places.push_back(none);
    for (const Json& labels : places) {  // a bar wherever the sweep asks for one
      std::vector<std::string> f = heads.of(t, labels);
      append(f, {number_text(m->value), optional_number(m->low), optional_number(m->high), std::to_string(m->n),
                 fp ? number_text(fp->value) : "", average(*t.record, "activation_bits"), average(*t.record, "kv_bits"),
                 average(*t.record, "weight_bits"), m->protocol});
      out += csv_line(f);
    }
  }
  return out;
}

std::string bound_csv(const ReportSource& source) {
  const Heads heads(source);
  std::string out =
      csv_line({"id",     "model",    "method",  "transform", "label",       "slot",    "kind",         "layer",
                "tokens", "features", "samples", "bits",      "signal",      "error",   "b1",           "b2",
                "b3",     "b4",       "b5",      "ratio",     "worst_ratio", "sqnr_db", "energy_share", "theorem"});
  for_each_done(source, [&](const ReportTrial& t, const Json& labels) {
    for (const SlotResult& s : t.record->slots) {
      const SlotStatistics& a = s.sums;
      if (a.samples == 0) continue;  // a slot that was left in full precision
      std::vector<std::string> f = heads.of(t, labels);
      append(f, {s.name, s.kind, layer_of(s.name), std::to_string(a.tokens), std::to_string(a.features),
                 std::to_string(a.samples), optional_number(s.bits()), number_text(a.signal), number_text(a.error),
                 number_text(a.b1), number_text(a.b2), number_text(a.b3), number_text(a.b4),
                 std::isnan(a.b5) ? "" : number_text(a.b5), number_text(s.ratio()), number_text(a.worst_ratio),
                 number_text(a.sqnr_db()), optional_number(s.share()), s.theorem.empty() ? "holds" : s.theorem});
      out += csv_line(f);
    }
  });
  return out;
}

std::string energy_csv(const ReportSource& source) {
  const Heads heads(source);
  std::string out = csv_line({"id", "model", "method", "transform", "label", "kind", "slots", "tokens", "row_from",
                              "row_to", "energy", "relative", "error", "bits", "samples"});
  struct Sums {
    std::size_t slots = 0;
    std::int64_t samples = 0;  // of a slot
    std::vector<double> energy, relative, error, bits;
  };
  for_each_done(source, [&](const ReportTrial& t, const Json& labels) {
    // Slots of one kind with the same bands; others (another length) stand apart.
    std::map<std::pair<std::string, std::vector<std::int64_t>>, Sums> groups;
    for (const SlotResult& s : t.record->slots) {
      const auto rows = s.rows();
      if (!rows || rows->edges.size() < 2) continue;
      const std::size_t n = rows->edges.size() - 1;
      double total = 0;
      for (std::size_t i = 0; i < n; ++i)
        total += rows->energy[i] * static_cast<double>(rows->edges[i + 1] - rows->edges[i]);
      const double mean = total / static_cast<double>(rows->edges.back());
      Sums& g = groups[{s.kind, rows->edges}];
      for (auto* v : {&g.energy, &g.relative, &g.error, &g.bits}) v->resize(n, 0);
      ++g.slots;
      g.samples = std::max(g.samples, static_cast<std::int64_t>(s.sums.samples));
      for (std::size_t i = 0; i < n; ++i) {
        g.energy[i] += rows->energy[i];
        g.relative[i] += mean > 0 ? rows->energy[i] / mean : 0;
        if (!rows->error.empty()) g.error[i] += rows->error[i];
        if (!rows->bits.empty()) g.bits[i] += rows->bits[i];
      }
    }
    for (const auto& [key, g] : groups) {
      const auto& [kind, edges] = key;
      const auto slots = static_cast<double>(g.slots);
      for (std::size_t i = 0; i + 1 < edges.size(); ++i) {
        std::vector<std::string> f = heads.of(t, labels);
        append(f, {kind, std::to_string(g.slots), std::to_string(edges.back()), std::to_string(edges[i]),
                   std::to_string(edges[i + 1]), number_text(g.energy[i] / slots), number_text(g.relative[i] / slots),
                   number_text(g.error[i] / slots), number_text(g.bits[i] / slots), std::to_string(g.samples)});
        out += csv_line(f);
      }
    }
  });
  return out;
}

std::string images_csv(const ReportSource& source) {
  const Heads heads(source);
  const std::vector<std::string> metrics{"latent_sqnr", "image_sqnr", "psnr", "ssim", "class_accuracy", "frechet"};
  std::vector<std::string> head{"id", "model", "method", "transform", "label", "folder", "images"};
  head.insert(head.end(), metrics.begin(), metrics.end());
  append(head, {"class_accuracy_fp", "activation_bits", "weight_bits", "protocol"});
  std::string out = csv_line(head);
  for_each_done(source, [&](const ReportTrial& t, const Json& labels) {
    if (!makes_images(*t.record)) return;
    const auto value = [&](const std::string& name) {
      const Metric* m = find_metric(*t.record, name);
      return m ? number_text(m->value) : "";
    };
    std::vector<std::string> f = heads.of(t, labels);
    append(f, {"../files/" + t.id, data_number(*t.record, "images")});
    for (const std::string& name : metrics) f.push_back(value(name));
    append(f, {value("class_accuracy_fp"), average(*t.record, "activation_bits"), average(*t.record, "weight_bits"),
               t.record->data.value("protocol", "")});
    out += csv_line(f);
  });
  return out;
}

std::string steps_csv(const ReportSource& source) {
  const Heads heads(source);
  std::string out = csv_line({"id", "model", "method", "transform", "label", "step", "steps", "images", "noise_sqnr",
                              "noise_low", "noise_high", "way_sqnr"});
  for_each_done(source, [&](const ReportTrial& t, const Json& labels) {
    const Metric *noise = find_metric(*t.record, "noise_sqnr"), *way = find_metric(*t.record, "way_sqnr");
    const auto found = t.record->data.find("steps");
    if (found == t.record->data.end() || !found->is_number_integer() || (!noise && !way)) return;
    const auto steps = found->get<std::size_t>();
    // Items of the first stand image by image; those of the second are means over images already.
    const std::size_t images = noise && steps > 0 ? noise->items.size() / steps : 0;
    for (std::size_t s = 0; s < steps; ++s) {
      double sum = 0, low = 0, high = 0;
      for (std::size_t i = 0; i < images; ++i) {
        const double v = noise->items[i * steps + s];
        sum += v;
        low = i == 0 ? v : std::min(low, v);
        high = i == 0 ? v : std::max(high, v);
      }
      const bool known = images > 0, walked = way && way->items.size() == steps;
      std::vector<std::string> f = heads.of(t, labels);
      append(f, {std::to_string(s), std::to_string(steps), std::to_string(images),
                 known ? number_text(sum / static_cast<double>(images)) : "", known ? number_text(low) : "",
                 known ? number_text(high) : "", walked ? number_text(way->items[s]) : ""});
      out += csv_line(f);
    }
  });
  return out;
}

std::string blocks_csv(const ReportSource& source) {
  const Heads heads(source);
  std::string out = csv_line({"id", "model", "method", "transform", "label", "block", "slots", "samples", "signal",
                              "error", "sqnr_db", "mean_sqnr_db", "least_sqnr_db", "least_slot"});
  struct Block {
    std::size_t slots = 0;
    std::int64_t samples = 0;
    double signal = 0, error = 0, sum = 0, least = 0;
    std::string slot;
  };
  for_each_done(source, [&](const ReportTrial& t, const Json& labels) {
    if (!makes_images(*t.record)) return;
    std::map<int, Block> blocks;
    for (const SlotResult& s : t.record->slots) {
      const std::string layer = layer_of(s.name);
      if (s.sums.samples == 0 || s.sums.error <= 0 || layer.empty() || layer.size() > 6 ||
          layer.find_first_not_of("0123456789") != std::string::npos)
        continue;
      Block& b = blocks[std::stoi(layer)];
      const double ratio = s.sums.sqnr_db();
      if (b.slots == 0 || ratio < b.least) b.least = ratio, b.slot = s.name;
      ++b.slots;
      b.samples = std::max(b.samples, static_cast<std::int64_t>(s.sums.samples));
      b.signal += s.sums.signal;
      b.error += s.sums.error;
      b.sum += ratio;
    }
    for (const auto& [index, b] : blocks) {
      std::vector<std::string> f = heads.of(t, labels);
      append(f, {std::to_string(index), std::to_string(b.slots), std::to_string(b.samples), number_text(b.signal),
                 number_text(b.error), number_text(10 * std::log10(b.signal / b.error)),
                 number_text(b.sum / static_cast<double>(b.slots)), number_text(b.least), b.slot});
      out += csv_line(f);
    }
  });
  return out;
}

std::vector<PlotFile> plot_files(const ReportSource& source) {
  bool images = false, texts = false;
  for (const ReportTrial& t : source.trials)
    if (t.record) (makes_images(*t.record) ? images : texts) = true;
  std::vector<PlotFile> files;
  if (texts || !images) files.push_back({"perplexity.csv", perplexity_csv(source, "perplexity")});
  files.push_back({"bound.csv", bound_csv(source)});
  files.push_back({"energy.csv", energy_csv(source)});
  if (std::string curves = curves_csv(source); std::count(curves.begin(), curves.end(), '\n') > 1)
    files.push_back({"curves.csv", std::move(curves)});
  if (!images) return files;
  files.push_back({"images.csv", images_csv(source)});
  files.push_back({"steps.csv", steps_csv(source)});
  files.push_back({"blocks.csv", blocks_csv(source)});
  return files;
}

}  // namespace stamp
