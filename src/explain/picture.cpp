// One block as a picture: a row a slot, read from left to right; the residual stream is the line on the left.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "explain/explain.h"
#include "report/html.h"

namespace stamp {

namespace {

constexpr double stream_x = 22, source_x = 52, source_w = 140, right_x = 210, right_w = 296, left_x = 524, left_w = 84;
constexpr double slot_x = 626, slot_w = 164, linear_x = 808, linear_w = 150, back_x = 976, back_w = 182, width = 1170;
constexpr double line_height = 14;

constexpr const char* own_style =
    "text{font:12px 'DejaVu Sans',sans-serif;fill:#1b1f24}.small{font-size:11px;fill:#5a6470}.strong{font-weight:600}"
    ".box{fill:#eef3f9;stroke:#5a6470}.box.slot{fill:#fff;stroke:#1b1f24;stroke-width:1.6}.box.online{fill:#fff0d6;"
    "stroke:#b87800}.box.folded{fill:#e3f3e6;stroke:#008a63;stroke-dasharray:4 3}.wire{stroke:#5a6470;stroke-width:1.2;"
    "fill:none}";

// Where a slot's rows come from, and where the results go.
struct Wiring {
  std::string source;
  bool from_stream = false, to_stream = false;
};

Wiring wiring_of(const ExplainedSlot& s) {
  const std::string& n = s.name;
  if (n == "attention.qkv_proj") return {"norm", true, false};
  if (n == "attention.key_cache") return {"k after RoPE", false, false};
  if (n == "attention.value_cache") return {"v", false, false};
  if (n == "attention.o_proj") return {"attention's output", false, true};
  if (n == "mlp.gate_up_proj") return {"norm", true, false};
  if (n == "mlp.down_proj") return {"act(gate) · up", false, true};
  if (n == "attn1.to_q") return {"modulated norm", true, false};
  if (n == "attn1.to_out.0") return {"attention's output", false, true};
  if (n == "attn2.to_k") return {"text tokens", false, false};
  if (n == "attn2.to_q") return {"the stream itself", true, false};
  if (n == "attn2.to_out.0") return {"attention's output", false, true};
  if (n == "ff.net.0.proj" || n == "ff.conv_inverted") return {"modulated norm", true, false};
  if (n == "ff.net.2") return {"act(·)", false, true};
  if (n == "ff.conv_point") return {"depthwise conv, gate", false, true};
  return {"", false, false};
}

// Lines of at most `most` characters, broken between words.
std::vector<std::string> wrapped(const std::string& text, std::size_t most) {
  std::vector<std::string> lines;
  std::string now;
  for (const std::string& word : split(text, ' ')) {
    if (!now.empty() && now.size() + 1 + word.size() > most) {
      lines.push_back(now);
      now.clear();
    }
    now += (now.empty() ? "" : " ") + word;
  }
  if (!now.empty()) lines.push_back(now);
  return lines;
}

struct Line {
  std::string text;
  const char* css;
};

double height_of(std::size_t lines) {
  return 10 + line_height * static_cast<double>(lines);
}

std::string box(double x, double y, double w, double h, const std::string& css, const std::vector<Line>& lines,
                const std::string& tooltip = "") {
  std::string out = "<g>";
  if (!tooltip.empty()) out += "<title>" + html_text(tooltip) + "</title>";
  out += fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" rx=\"4\" class=\"box {}\"/>",
                     x, y, w, h, css);
  double text_y = y + (h - line_height * static_cast<double>(lines.size())) / 2 + 11;
  for (const Line& l : lines) {
    out +=
        fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" class=\"{}\">{}</text>", x + 7, text_y, l.css, html_text(l.text));
    text_y += line_height;
  }
  return out + "</g>\n";
}

std::string wire(double x1, double y1, double x2, double y2) {
  std::string out = fmt::format("<path class=\"wire\" d=\"M{:.1f} {:.1f}L{:.1f} {:.1f}", x1, y1, x2, y2);
  if (y1 == y2 && x1 != x2) {  // an arrow's head
    const double back = x2 > x1 ? -5 : 5;
    out += fmt::format("M{:.1f} {:.1f}L{:.1f} {:.1f}L{:.1f} {:.1f}", x2 + back, y2 - 3.5, x2, y2, x2 + back, y2 + 3.5);
  }
  return out + "\"/>\n";
}

std::string share(const Step& step, const ExplainedSlot& s) {
  if (step.operations <= 0 || s.layer_operations <= 0) return "";
  const double p = 100 * step.operations / s.layer_operations;
  return p < 0.01 ? "under 0.01%" : fmt::format("{:.{}f}%", p, p < 1 ? 2 : 1);
}

std::vector<Line> right_lines(const Step& step, const ExplainedSlot& s) {
  std::vector<Line> lines;
  for (std::string& l : wrapped(step.what, 40)) lines.push_back({std::move(l), ""});
  std::string where = step.where;
  if (const std::string cost = share(step, s); !cost.empty()) where += " · " + cost;
  for (std::string& l : wrapped((step.placed == Placed::folded ? "folded " : "online ") + where, 44))
    lines.push_back({std::move(l), "small"});
  return lines;
}

std::string row(const ExplainedSlot& s, double y, double h) {
  const Wiring wiring = wiring_of(s);
  const double middle = y + h / 2;
  std::string out;
  if (wiring.from_stream) out += wire(stream_x, middle, source_x, middle);
  out += box(source_x, middle - 17, source_w, 34, "", {{wiring.source, ""}});
  double from = source_x + source_w;

  if (!s.right.empty()) {
    double all = -4;
    for (const Step& step : s.right) all += height_of(right_lines(step, s).size()) + 4;
    double top = middle - all / 2;
    for (const Step& step : s.right) {
      const std::vector<Line> lines = right_lines(step, s);
      const double box_height = height_of(lines.size());
      out += box(right_x, top, right_w, box_height, step.placed == Placed::folded ? "folded" : "online", lines);
      top += box_height + 4;
    }
    out += wire(from, middle, right_x, middle);
    from = right_x + right_w;
  }
  if (s.left.placed != Placed::none) {
    out += wire(from, middle, left_x, middle);
    out += box(left_x, middle - 19, left_w, 38, "online", {{"L", "strong"}, {share(s.left, s), "small"}},
               s.chosen.empty() ? s.left.where : s.chosen);
    from = left_x + left_w;
  }
  out += wire(from, middle, slot_x, middle);
  std::vector<Line> quantizer;
  if (s.quantized) {
    quantizer.push_back({s.average_bits ? fmt::format("Q: {:.4g} bits", *s.average_bits) : "Q", "strong"});
    if (s.high_rows > 0 && s.high_bits != s.low_bits)
      quantizer.push_back(
          {fmt::format("{} rows at {:.3g}, rest {:.3g}", s.high_rows, s.high_bits, s.low_bits), "small"});
    quantizer.push_back({s.granularity, "small"});
    if (s.ratio) quantizer.push_back({fmt::format("error / B1 {:.3g}", *s.ratio), "small"});
  } else {
    quantizer = {{"16 bits", "strong"}, {"not quantized", "small"}};
  }
  const std::string tooltip = s.quantized ? s.grid + ", " + s.granularity + "; " + s.allocation : s.why_not;
  const double slot_h = height_of(quantizer.size());
  out += box(slot_x, middle - slot_h / 2, slot_w, slot_h, "slot", quantizer, tooltip);
  from = slot_x + slot_w;
  double last_x = linear_x, last_half = 0;  // the box that the row ends in

  if (!s.linears.empty()) {
    std::vector<Line> lines;
    for (const ExplainedLinear& l : s.linears) {
      const std::size_t dot = l.name.find('.');
      lines.push_back({dot == std::string::npos ? l.name : l.name.substr(dot + 1), ""});
    }
    lines.push_back({fmt::format("{} features in", s.info.features), "small"});
    const double h2 = height_of(lines.size());
    last_half = h2 / 2;
    out += wire(from, middle, linear_x, middle) + box(linear_x, middle - h2 / 2, linear_w, h2, "", lines);
    from = linear_x + linear_w;
  } else {
    const double h2 = height_of(2);
    out += wire(from, middle, linear_x, middle) +
           box(linear_x, middle - h2 / 2, linear_w, h2, "",
               {{s.info.kind == SlotKind::key_cache ? "key cache" : "value cache", ""},
                {fmt::format("{} head{} of {}", s.info.heads, s.info.heads == 1 ? "" : "s",
                             s.info.features / s.info.heads),
                 "small"}});
    from = linear_x + linear_w;
  }
  if (s.left_back.placed != Placed::none) {
    std::vector<Line> lines{{"L^-1" + (share(s.left_back, s).empty() ? "" : " · " + share(s.left_back, s)), "strong"}};
    for (std::string& l : wrapped(s.left_back.where, 26)) lines.push_back({std::move(l), "small"});
    const double h2 = height_of(lines.size());
    last_x = back_x;
    last_half = h2 / 2;
    out += wire(from, middle, back_x, middle) + box(back_x, middle - h2 / 2, back_w, h2, "online", lines);
  }
  if (wiring.to_stream) {
    const double low = y + h + 5, start = last_x + 12;
    out += wire(start, middle + last_half, start, low) + wire(start, low, stream_x, low);
  }
  return out;
}

double row_height(const ExplainedSlot& s) {
  double all = -4;
  for (const Step& step : s.right) all += height_of(right_lines(step, s).size()) + 4;
  const double linears = height_of(s.linears.size() + 1);
  return std::max({62.0, all, linears});
}

}  // namespace

std::string explanation_svg(const Explanation& e, bool alone) {
  double y = 52;
  std::string rows;
  for (const ExplainedSlot& s : e.slots) {
    const double h = row_height(s);
    rows +=
        fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" class=\"small\">{}</text>\n", source_x, y - 3, html_text(s.name));
    rows += row(s, y, h);
    y += h + 26;
  }
  std::string out;
  const auto head = [&](double x, const char* name) {
    out += fmt::format("<text x=\"{:.1f}\" y=\"20\" class=\"strong\">{}</text>\n", x, name);
  };
  head(source_x, "from");
  head(right_x, "R: features");
  head(left_x, "L: tokens");
  head(slot_x, "quantizer");
  head(linear_x, "read by");
  head(back_x, "L^-1");
  out += fmt::format("<path class=\"wire\" style=\"stroke-width:3\" d=\"M{0:.1f} 34L{0:.1f} {1:.1f}\"/>\n", stream_x,
                     y - 6);
  out += rows;
  const double legend = y + 8;
  const auto key = [&](double x, const char* css, const char* text) {
    out += fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"22\" height=\"12\" rx=\"3\" class=\"box {}\"/>", x,
                       legend, css);
    out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" class=\"small\">{}</text>\n", x + 28, legend + 10, text);
  };
  key(source_x, "online", "at run time, share of the linear layers' operations");
  key(source_x + 340, "folded", "folded into weights or norms, free at run time");
  key(source_x + 640, "slot", "quantizer");
  out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" class=\"small\">thick line: residual stream</text>\n",
                     source_x + 760, legend + 10);
  const std::string name = explanation_title(e);
  return fmt::format(
             "<svg class=\"block\"{4} viewBox=\"0 0 {0:.0f} {1:.0f}\" width=\"{0:.0f}\" height=\"{1:.0f}\" "
             "role=\"img\" "
             "aria-label=\"{2}\"><title>{2}</title>{3}\n",
             width, legend + 22, html_text(name), alone ? "<style>" + std::string(own_style) + "</style>" : "",
             alone ? " xmlns=\"http://www.w3.org/2000/svg\"" : "") +
         (alone ? fmt::format("<rect width=\"{:.0f}\" height=\"{:.0f}\" fill=\"#ffffff\"/>\n", width, legend + 22)
                : "") +
         out + "</svg>\n";
}

}  // namespace stamp
