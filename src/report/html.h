// Text that may stand in an HTML page, and small pieces of pages.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace stamp {

// For text and for attributes in double quotes: & < > " ' are escaped, bytes that are no UTF-8 and control characters
// become U+FFFD, so that a damaged record cannot damage the page.
std::string html_text(std::string_view text);
// JSON that may stand inside <script type="application/json">: no "<", ">" or "&" is left in it.
std::string script_json(const Json& json);
// data:image/...;base64,... of a file's bytes.
std::string data_uri(std::string_view bytes, const std::string& mime);
// <ul><li>..</li></ul> of escaped texts; "" for none.
std::string html_list(const std::vector<std::string>& items, const std::string& css_class = "");
// Two columns: head, escaped value. Rows without a value are left out.
std::string html_facts(const std::vector<std::pair<std::string, std::string>>& rows);
// Letters, digits and "-" of a text, for ids of elements.
std::string html_id(std::string_view text);

}  // namespace stamp
