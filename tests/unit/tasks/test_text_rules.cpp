#include "support/catch.h"
#include "tasks/text_rules.h"

using namespace stamp;

// Expected values: the same expressions in Python 3.
TEST_CASE("Python's text rules", "[tasks]") {
  CHECK(code_points("") == 0);
  CHECK(code_points("na\xc3\xafve \xe2\x82\xac \xf0\x9f\x98\x80") == 9);
  CHECK(trailing_space("ab \t\n") == 3);
  CHECK(trailing_space("a\xc2\xa0\xe3\x80\x80") == 5);  // no-break space, ideographic space
  CHECK(trailing_space("a\xe2\x80\x8b") == 0);          // zero-width space is none
  CHECK(trailing_space(" \n") == 2);
  CHECK(leading_space("\x1c x") == 2);
  CHECK(stripped("  a b ") == "a b");
  CHECK(stripped(" ").empty());
  CHECK(capitalized("he SAYS \"Hi\".") == "He says \"hi\".");
  CHECK(capitalized("\xc3\xa9T\xc3\x89") == "\xc3\x89t\xc3\xa9");
  CHECK(capitalized("").empty());
}

TEST_CASE("WikiHow's marks go as lm-evaluation-harness removes them", "[tasks]") {
  CHECK(without_wikihow_marks(" How to x [title] Do y. [step] Then z [substeps] a ") == "How to x. Do y. Then z a");
  CHECK(without_wikihow_marks("a    b") == "a  b");  // one pass, as str.replace makes it
  CHECK(without_wikihow_marks("a [b c") == "a [b c");
  CHECK(without_wikihow_marks("a [b\nc] d") == "a [b\nc] d");  // the dot of the pattern stops at a newline
  CHECK(without_wikihow_marks("[a]b]") == "b]");
  CHECK(without_wikihow_marks("[[a]b") == "b");
}
