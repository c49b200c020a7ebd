// What the tests of pages look for in one.
#pragma once
#include <string>
#include <vector>

#include "base/json.h"
#include "support/catch.h"

namespace stamp::test {

inline std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++n;
  return n;
}

inline Json data_in(const std::string& page) {
  const std::string open = "<script type=\"application/json\" id=\"stamp-data\">";
  const std::size_t from = page.find(open);
  REQUIRE(from != std::string::npos);
  const std::size_t to = page.find("</script>", from);
  return Json::parse(page.substr(from + open.size(), to - from - open.size()));
}

// Every element that is opened is closed, in order; void elements and SVG's self-closing ones aside.
inline std::string first_misnested(const std::string& page) {
  std::vector<std::string> open;
  for (std::size_t at = 0; (at = page.find('<', at)) != std::string::npos;) {
    const std::size_t end = page.find('>', at);
    if (end == std::string::npos) return "unclosed tag";
    const std::string tag = page.substr(at + 1, end - at - 1);
    at = end + 1;
    if (tag.empty() || tag[0] == '!') continue;
    std::string name = tag.substr(0, tag.find_first_of(" \n/", tag[0] == '/' ? 1 : 0));
    if (name[0] == '/') {
      if (open.empty() || open.back() != name.substr(1))
        return name + " closes " + (open.empty() ? "nothing" : open.back());
      open.pop_back();
      continue;
    }
    if (tag.back() == '/' || name == "meta" || name == "link" || name == "img" || name == "input" || name == "br")
      continue;
    open.push_back(name);
    if (name == "script" || name == "style") at = page.find("</" + name, at);
  }
  return open.empty() ? "" : open.back() + " stays open";
}

}  // namespace stamp::test
