// An explanation as text and as JSON.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "explain/explain.h"

namespace stamp {

namespace {

std::string percent(double share) {
  if (share == 0) return "0";
  const double p = 100 * share;
  return p < 0.01 ? "under 0.01%" : fmt::format("{:.{}f}%", p, p < 1 ? 2 : p < 10 ? 1 : 0);
}

std::string operations_text(double operations) {
  return operations >= 1e6   ? fmt::format("{:.3g} M", operations / 1e6)
         : operations >= 1e3 ? fmt::format("{:.3g} k", operations / 1e3)
                             : fmt::format("{:.3g}", operations);
}

std::string linears_text(const ExplainedSlot& s) {
  std::vector<std::string> parts;
  for (const ExplainedLinear& l : s.linears)
    parts.push_back(fmt::format("{} ({} x {})", l.name, l.outputs, s.info.features));
  return join(parts, ", ");
}

std::string step_text(const Step& step, double layer) {
  std::string text = fmt::format("{}: {}", step.placed == Placed::folded ? "folded" : name_of(step.placed), step.what);
  if (!step.where.empty()) text += "; " + step.where;
  if (step.operations > 0)
    text += fmt::format("; {} operations a row{}", operations_text(step.operations),
                        layer > 0 ? ", " + percent(step.operations / layer) + " of the layer" : "");
  return text;
}

double averaged_bits(const Explanation& e, bool caches) {
  double bits = 0, width = 0;
  for (const ExplainedSlot& s : e.slots) {
    if (!s.quantized || !s.average_bits || (s.info.kind != SlotKind::linear_input) != caches) continue;
    bits += *s.average_bits * static_cast<double>(s.info.features);
    width += static_cast<double>(s.info.features);
  }
  return width > 0 ? bits / width : 0;
}

}  // namespace

std::string explanation_title(const Explanation& e) {
  std::string out = fmt::format("{}{} on {} ({})", e.method, e.transform == "identity" ? "" : " with " + e.transform,
                                e.model.empty() ? "a model without a name" : e.model, e.architecture);
  if (const double bits = averaged_bits(e, false); bits > 0) out += fmt::format(": {:.4g} activation bits", bits);
  return out + fmt::format(", {} more operations",
                           percent(e.layer_operations() > 0 ? e.online_operations() / e.layer_operations() : 0));
}

std::string explanation_text(const Explanation& e) {
  std::string out = explanation_title(e) + "\n";
  if (!e.trial.empty()) out += "trial " + e.trial + "\n";
  out += fmt::format("\n{} blocks alike; samples of {} tokens. Along the sequence (L): {}.\n", e.layers, e.tokens,
                     e.left_text);
  if (!e.network.empty()) {
    out += "\nOnce, for the whole network (offline):\n";
    for (const std::string& line : e.network) out += "  " + line + "\n";
  }
  for (const ExplainedSlot& s : e.slots) {
    out += fmt::format("\n{}  ({}, {} features", s.name, name_of(s.info.kind), s.info.features);
    if (s.info.kind != SlotKind::linear_input)
      out += fmt::format(" in {} head{}", s.info.heads, s.info.heads == 1 ? "" : "s");
    if (s.info.rows == SlotRows::grid) out += ", rows are the image's tokens";
    if (s.info.rows == SlotRows::context) out += ", rows are the text's tokens";
    out += ")\n";
    if (!s.linears.empty()) out += "  read by   " + linears_text(s) + "\n";
    out += "  R         ";
    if (s.right.empty()) {
      out += "none\n";
    } else {
      for (std::size_t i = 0; i < s.right.size(); ++i)
        out += (i > 0 ? "            " : "") + step_text(s.right[i], s.layer_operations) + "\n";
    }
    out += "  L         " +
           (s.left.placed == Placed::none ? std::string("none") : step_text(s.left, s.layer_operations)) + "\n";
    if (!s.chosen.empty()) out += "  chosen    " + s.chosen + "\n";
    if (s.left_back.placed != Placed::none) out += "  L^-1      " + step_text(s.left_back, s.layer_operations) + "\n";
    if (!s.quantized) {
      out += "  quantizer none: " + s.why_not + "\n";
    } else {
      out += fmt::format("  quantizer {}, {}; {}", s.grid, s.granularity, s.allocation);
      if (s.average_bits)
        out += fmt::format("; {:.4g} bits on average{}", *s.average_bits, s.average_measured ? " (measured)" : "");
      out += "\n";
    }
    if (s.ratio) {
      out += fmt::format("  measured  error / B1 {:.3g}", *s.ratio);
      if (s.sqnr_db) out += fmt::format(", SQNR {:.1f} dB", *s.sqnr_db);
      out += ", means over the layers\n";
    }
    if (s.online_operations() > 0)
      out += fmt::format("  cost      {} operations a row online, {} of {}\n", operations_text(s.online_operations()),
                         percent(s.relative_cost()),
                         s.linears.empty() ? "the projection that fills the cache" : "the layers that read it");
  }
  out += fmt::format("\nA block: {} operations a token online beside {} of its linear layers: {}.\n",
                     operations_text(e.online_operations()), operations_text(e.layer_operations()),
                     percent(e.layer_operations() > 0 ? e.online_operations() / e.layer_operations() : 0));
  for (const std::string& note : e.notes) out += "* " + note + "\n";
  return out;
}

Json explanation_json(const Explanation& e) {
  const auto step_json = [](const Step& s) {
    return Json{{"what", s.what}, {"placed", name_of(s.placed)}, {"where", s.where}, {"operations", s.operations}};
  };
  Json j{{"trial", e.trial},
         {"model", e.model},
         {"architecture", e.architecture},
         {"method", e.method},
         {"transform", e.transform},
         {"left", e.left_text},
         {"layers", e.layers},
         {"tokens", e.tokens},
         {"network", e.network},
         {"notes", e.notes},
         {"layer_operations", e.layer_operations()},
         {"online_operations", e.online_operations()},
         {"slots", Json::array()}};
  for (const ExplainedSlot& s : e.slots) {
    Json slot{{"name", s.name},
              {"kind", name_of(s.info.kind)},
              {"rows", name_of(s.info.rows)},
              {"features", s.info.features},
              {"quantized", s.quantized},
              {"linears", Json::array()},
              {"right", Json::array()},
              {"left", step_json(s.left)},
              {"left_back", step_json(s.left_back)},
              {"allocation", s.allocation},
              {"granularity", s.granularity},
              {"grid", s.grid},
              {"layer_operations", s.layer_operations},
              {"online_operations", s.online_operations()},
              {"relative_cost", s.relative_cost()}};
    for (const ExplainedLinear& l : s.linears) slot["linears"].push_back({{"name", l.name}, {"outputs", l.outputs}});
    for (const Step& r : s.right) slot["right"].push_back(step_json(r));
    if (!s.chosen.empty()) slot["chosen"] = s.chosen;
    if (!s.why_not.empty()) slot["why_not"] = s.why_not;
    if (s.average_bits) slot["average_bits"] = *s.average_bits;
    if (s.ratio) slot["ratio"] = *s.ratio;
    if (s.sqnr_db) slot["sqnr_db"] = *s.sqnr_db;
    j["slots"].push_back(std::move(slot));
  }
  return j;
}

}  // namespace stamp
