// One self-contained HTML page of one or several runs: tables, figures, errors of slots by layer, all trials, caveats,
// provenance. No network, no script or font of anybody else; without JavaScript everything but sorting, filtering and
// the choice of a trial in the heat map is there. Product section 5; docs/report.md.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "report/reference.h"
#include "report/source.h"

namespace stamp {

// A figure that `stamp plot` has drawn.
struct PageFigure {
  std::string name;   // "perplexity"
  std::string mime;   // "image/svg+xml" or "image/png"
  std::string bytes;  // of the file
};

// Where the transforms of some trials sit (src/explain): trials whose explanation is the same share one.
struct PageExplanation {
  std::string title;
  std::string svg;   // an element that may stand in a page as it is
  std::string text;  // plain
  std::vector<std::string> trials;
};

struct PageRun {
  std::string folder;  // as given
  ReportSource source;
  std::optional<PaperEntry> paper;
  std::string no_paper;  // why the table's paper values are not at hand; "" when they are, or none are named
  std::vector<std::string> notices;  // torn and damaged lines, as the store reports them
  std::vector<PageFigure> figures;
  std::vector<PageExplanation> explanations;
  std::vector<std::string> stale_figures;  // names of figures left out: drawn for other records than these
};

struct PageRequest {
  std::vector<PageRun> runs;
  std::vector<std::string> damaged;  // why further runs could not be read
  std::string made;                  // time, UTC
  std::string program;               // version and revision of the program that makes the page
};

// A run without records, damaged lines and mixed protocols are shown as what they are; nothing is thrown for them.
std::string report_page(const PageRequest& request);

// What the page's script reads, and other programs may: docs/report.md lists the fields.
Json page_data(const PageRequest& request);

}  // namespace stamp
