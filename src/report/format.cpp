// Tables as text: Markdown, LaTeX (booktabs), CSV.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "report/table.h"

namespace stamp {

namespace {

std::string state_text(TableCell::State state) {
  switch (state) {
    case TableCell::State::failed: return "failed";
    case TableCell::State::missing: return "missing";
    case TableCell::State::pending: return "not run";
    case TableCell::State::absent:
    case TableCell::State::value: break;
  }
  return "";
}

// Width on a terminal: code points. The texts here are Latin letters, digits and a few signs.
std::size_t width(const std::string& s) {
  return static_cast<std::size_t>(
      std::count_if(s.begin(), s.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string escape_markdown(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == '|' || c == '\\' || c == '*' || c == '_' || c == '`' || c == '<') out += '\\';
    out += c == '\n' || c == '\r' ? ' ' : c;
  }
  return out;
}

std::string escape_latex(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    switch (c) {
      case '&':
      case '%':
      case '$':
      case '#':
      case '_':
      case '{':
      case '}':
        out += '\\';
        out += c;
        break;
      case '~': out += "\\textasciitilde{}"; break;
      case '^': out += "\\textasciicircum{}"; break;
      case '\\': out += "\\textbackslash{}"; break;
      case '<': out += "\\textless{}"; break;
      case '>': out += "\\textgreater{}"; break;
      case '|': out += "\\textbar{}"; break;
      case '\n':
      case '\r': out += ' '; break;
      default: out += c;
    }
  }
  const auto replace = [&](const std::string& from, const std::string& to) {
    for (std::size_t at = 0; (at = out.find(from, at)) != std::string::npos; at += to.size())
      out.replace(at, from.size(), to);
  };
  replace("†", "$^\\dagger$");
  replace("Δ", "$\\Delta$");
  replace("±", "$\\pm$");
  replace("–", "--");
  return out;
}

std::string percent(double ours, double paper) {
  const double p = 100 * (ours / paper - 1);
  return fmt::format("{:+.{}f}%", p, std::fabs(p) < 10 ? 1 : 0);
}

struct Marks {
  std::string dagger, best_open, best_close, plus_minus;
};

std::string cell_text(const TableCell& c, const Marks& m) {
  if (c.state != TableCell::State::value) return state_text(c.state);
  std::string text = value_text(c.value);
  if (c.best) text = m.best_open + text + m.best_close;
  if (c.deviation)
    text += fmt::format(" {} {} ({})", m.plus_minus, value_text(*c.deviation), c.samples);
  else if (c.low && c.high)
    text += fmt::format(" [{}, {}]", value_text(*c.low), value_text(*c.high));
  if (c.activation_bits) text += fmt::format(" (A {:.4g})", *c.activation_bits);
  if (c.sees_ahead) text += m.dagger;
  return text;
}

std::vector<std::string> heads(const Table& t) {
  std::vector<std::string> h = t.row_heads;
  for (std::size_t i = 0; i < t.columns.size(); ++i) {
    h.push_back(t.columns[i]);
    if (t.with_difference && i != t.baseline) h.push_back("Δ " + t.columns[t.baseline]);
    if (t.with_paper) {
      h.push_back("paper");
      h.push_back("difference");
    }
  }
  return h;
}

std::vector<std::string> line_of(const Table& t, const TableRow& row, const Marks& marks,
                                 std::string (*escape)(const std::string&)) {
  std::vector<std::string> fields;
  for (const std::string& l : row.labels) fields.push_back(escape(l));
  for (std::size_t i = 0; i < row.cells.size(); ++i) {
    const TableCell& c = row.cells[i];
    const std::string text = cell_text(c, marks);
    fields.push_back(text.empty() ? "–" : text);
    if (t.with_difference && i != t.baseline) {
      const std::string d = difference_text(c);
      const bool bold = c.difference && c.difference->significant();
      fields.push_back(d.empty() ? "–" : bold ? marks.best_open + d + marks.best_close : d);
    }
    if (!t.with_paper) continue;
    fields.push_back(c.paper ? value_text(*c.paper) : "–");
    fields.push_back(c.paper && c.state == TableCell::State::value ? escape(percent(c.value, *c.paper)) : "–");
  }
  return fields;
}

std::string optional_number(const std::optional<double>& v) {
  return v ? number_text(*v) : "";
}

}  // namespace

std::string value_text(double v) {
  if (!std::isfinite(v)) return number_text(v);
  const double a = std::fabs(v);
  if (a == 0) return "0";
  if (a >= 1e7 || a < 1e-4) return fmt::format("{:.3e}", v);
  const int before = static_cast<int>(std::floor(std::log10(a))) + 1;  // digits before the point
  return fmt::format("{:.{}f}", v, std::clamp(4 - before, 0, 8));
}

std::string difference_text(const TableCell& c) {
  if (!c.difference) return "";
  const auto text = [](double v) { return fmt::format("{:+.3f}", v); };
  return fmt::format("{} [{}, {}]", text(c.difference->mean), text(c.difference->low), text(c.difference->high));
}

std::string markdown(const Table& t) {
  const Marks marks{"†", "**", "**", "±"};
  std::vector<std::vector<std::string>> lines;
  std::vector<std::string> head;
  for (const std::string& h : heads(t)) head.push_back(escape_markdown(h));
  lines.push_back(head);
  for (const TableRow& row : t.rows) lines.push_back(line_of(t, row, marks, escape_markdown));

  std::vector<std::size_t> widths(head.size(), 3);
  for (const auto& line : lines)
    for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], width(line[i]));
  std::string out;
  const auto write = [&](const std::vector<std::string>& line) {
    out += "|";
    for (std::size_t i = 0; i < line.size(); ++i) {
      const std::string pad(widths[i] - width(line[i]), ' ');
      out += i < t.row_heads.size() ? " " + line[i] + pad + " |" : " " + pad + line[i] + " |";
    }
    out += "\n";
  };
  if (!t.title.empty())
    out += "**" + escape_markdown(t.title) + "**" +
           (t.columns_are.empty() ? "" : " (columns: " + escape_markdown(t.columns_are) + ")") + "\n\n";
  write(lines[0]);
  out += "|";
  for (std::size_t i = 0; i < widths.size(); ++i)
    out += i < t.row_heads.size() ? std::string(widths[i] + 2, '-') + "|" : std::string(widths[i] + 1, '-') + ":|";
  out += "\n";
  for (std::size_t i = 1; i < lines.size(); ++i) write(lines[i]);
  if (!t.notes.empty()) out += "\n";
  for (const std::string& n : t.notes) out += "* " + escape_markdown(n) + "\n";
  return out;
}

std::string latex(const Table& t) {
  const Marks marks{"$^\\dagger$", "\\textbf{", "}", "$\\pm$"};
  std::string out = "% needs \\usepackage{booktabs}\n\\begin{table}\n  \\centering\n  \\caption{" +
                    escape_latex(t.title) + "}\n  \\begin{tabular}{";
  out += std::string(t.row_heads.size(), 'l') + std::string(heads(t).size() - t.row_heads.size(), 'r') +
         "}\n    \\toprule\n";
  const auto write = [&](const std::vector<std::string>& fields) { out += "    " + join(fields, " & ") + " \\\\\n"; };
  std::vector<std::string> head;
  for (const std::string& h : heads(t)) head.push_back(escape_latex(h));
  write(head);
  out += "    \\midrule\n";
  bool references = false;
  for (const TableRow& row : t.rows) {
    if (references && !row.reference) out += "    \\midrule\n";
    references = row.reference;
    std::vector<std::string> fields = line_of(t, row, marks, escape_latex);
    for (std::string& f : fields)
      if (f == "–") f = "--";
    write(fields);
  }
  out += "    \\bottomrule\n  \\end{tabular}\n";
  for (const std::string& n : t.notes) out += "\n  \\smallskip\\footnotesize " + escape_latex(n) + "\n";
  return out + "\\end{table}\n";
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string out = "\"";
  for (char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

std::string csv_line(const std::vector<std::string>& fields) {
  std::string out;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    if (i > 0) out += ',';
    out += csv_field(fields[i]);
  }
  out += '\n';
  return out;
}

std::string csv(const Table& t) {
  std::vector<std::string> head = t.row_heads;
  const std::string column_head = t.columns_are.empty() ? "column" : t.columns_are;
  for (const char* h : {"metric", "state", "value", "unit", "n", "low", "high", "samples", "deviation", "paper",
                        "difference", "difference_percent", "sees_ahead", "activation_bits", "trials"})
    head.push_back(h);
  if (t.with_difference)
    for (const char* h : {"baseline", "paired_mean", "paired_low", "paired_high", "paired_items"}) head.push_back(h);
  head.insert(head.begin() + static_cast<std::ptrdiff_t>(t.row_heads.size()), column_head);
  std::string out = csv_line(head);
  for (const TableRow& row : t.rows) {
    for (std::size_t c = 0; c < row.cells.size(); ++c) {
      const TableCell& cell = row.cells[c];
      if (cell.state == TableCell::State::absent && cell.ids.empty()) continue;
      const bool value = cell.state == TableCell::State::value;
      std::vector<std::string> f = row.labels;
      f.push_back(t.columns[c]);
      f.push_back(t.value.empty() ? t.columns[c] : row.reference ? t.value + "_fp" : t.value);
      f.push_back(value ? "done" : cell.state == TableCell::State::absent ? "absent" : state_text(cell.state));
      f.push_back(value ? number_text(cell.value) : "");
      f.push_back(t.unit);
      f.push_back(value && cell.items > 0 ? std::to_string(cell.items) : "");
      f.push_back(optional_number(cell.low));
      f.push_back(optional_number(cell.high));
      f.push_back(value ? std::to_string(cell.samples) : "");
      f.push_back(optional_number(cell.deviation));
      f.push_back(optional_number(cell.paper));
      f.push_back(value && cell.paper ? number_text(cell.value - *cell.paper) : "");
      f.push_back(value && cell.paper ? number_text(100 * (cell.value / *cell.paper - 1)) : "");
      f.push_back(value ? (cell.sees_ahead ? "yes" : "no") : "");
      f.push_back(value ? optional_number(cell.activation_bits) : "");
      f.push_back(join(cell.ids, " "));
      if (t.with_difference) {
        const std::optional<PairedDifference>& d = cell.difference;
        for (const std::string& v :
             {d ? t.columns[t.baseline] : "", d ? number_text(d->mean) : "", d ? number_text(d->low) : "",
              d ? number_text(d->high) : "", d ? std::to_string(d->items) : ""})
          f.push_back(v);
      }
      out += csv_line(f);
    }
  }
  return out;
}

}  // namespace stamp
