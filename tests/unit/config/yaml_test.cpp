#include "config/yaml.h"

#include <clocale>
#include <locale>

#include "base/text.h"
#include "fixture.h"
#include "support/catch.h"

using namespace stamp;
using stamp::testing::Folder;

namespace {

std::string first_fault(const std::string& text) {
  std::vector<std::string> faults;
  parse_yaml(text, "f.yaml", faults);
  return faults.empty() ? "" : faults.front();
}

YamlNode tree(const std::string& text) {
  std::vector<std::string> faults;
  YamlNode node = parse_yaml(text, "f.yaml", faults);
  INFO(join(faults, "\n"));
  REQUIRE(faults.empty());
  return node;
}

YamlScalar scalar(const std::string& text) {
  return scalar_of(*tree("a: " + text).find("a"));
}

std::string place_of(const YamlNode& node) {
  return node.place.text();
}

bool starts_with(const std::string& text, const std::string& start) {
  return text.compare(0, start.size(), start) == 0;
}

}  // namespace

TEST_CASE("every node knows its file, line and column, counted from 1") {
  const YamlNode root = tree("a: 1\nbee:\n  - x\n  -   {c: [7, \"q\"]}\n\n# comment\nd: |\n  two\n  lines\n");
  CHECK(place_of(root) == "f.yaml:1:1");
  CHECK(place_of(*root.find("a")) == "f.yaml:1:4");
  CHECK(root.entries[1].key_place.text() == "f.yaml:2:1");
  const YamlNode& bee = *root.find("bee");
  CHECK(place_of(bee) == "f.yaml:3:3");
  CHECK(place_of(bee.items[0]) == "f.yaml:3:5");
  CHECK(place_of(bee.items[1]) == "f.yaml:4:7");
  CHECK(bee.items[1].entries[0].key_place.text() == "f.yaml:4:8");
  const YamlNode& c = *bee.items[1].find("c");
  CHECK(place_of(c) == "f.yaml:4:11");
  CHECK(place_of(c.items[0]) == "f.yaml:4:12");
  CHECK(place_of(c.items[1]) == "f.yaml:4:15");
  CHECK(c.items[1].quoted);
  CHECK_FALSE(c.items[0].quoted);
  CHECK(root.find("d")->text == "two\nlines\n");
  CHECK(root.find("d")->quoted);
  CHECK(root.entries.back().key_place.text() == "f.yaml:7:1");
  CHECK(root.find("nothing") == nullptr);
}

TEST_CASE("columns and lines survive byte order marks and carriage returns") {
  const YamlNode root = tree(
      "\xef\xbb\xbf"
      "a: 1\r\nb: 22\r\n");
  CHECK(place_of(*root.find("a")) == "f.yaml:1:4");
  CHECK(place_of(*root.find("b")) == "f.yaml:2:4");
  CHECK(root.find("b")->text == "22");
}

TEST_CASE("keys keep the order of the file") {
  const YamlNode root = tree("z: 1\na: 2\nm: 3\n");
  REQUIRE(root.entries.size() == 3);
  CHECK(root.entries[0].key == "z");
  CHECK(root.entries[1].key == "a");
  CHECK(root.entries[2].key == "m");
}

TEST_CASE("scalars have one type by their spelling") {
  using Type = YamlScalar::Type;
  CHECK(scalar("4").type == Type::integer);
  CHECK(scalar("4").value == 4);
  CHECK(scalar("-17").value == -17);
  CHECK(scalar("+3").value == 3);
  CHECK(scalar("0").value == 0);
  CHECK(scalar("9223372036854775807").value == INT64_MAX);
  CHECK(scalar("1e-3").type == Type::real);
  CHECK(scalar("1e-3").value == 1e-3);
  CHECK(scalar("4.0").type == Type::real);
  CHECK(scalar("1.5").value == 1.5);
  CHECK(scalar(".5").value == 0.5);
  CHECK(scalar("2.").value == 2.0);
  CHECK(scalar("-0.25E+2").value == -25.0);
  for (const char* quoted : {"\"4\"", "'4'", "\"true\"", "'null'", "\"010\""}) CHECK(scalar(quoted).type == Type::text);
  CHECK(scalar("true").value == true);
  CHECK(scalar("false").value == false);
  for (const char* text :
       {"yes", "no", "on", "off", "True", "TRUE", "y", "n", "haar", "1.2.3", "1e", "e5", "2048tokens", "0x", "."}) {
    INFO(text);
    CHECK(scalar(text).type == Type::text);
  }
  CHECK(scalar("").type == Type::null);
  CHECK(scalar("~").type == Type::null);
  CHECK(scalar("null").type == Type::null);
}

TEST_CASE("spellings that readers disagree on are malformed, not guessed") {
  for (const char* text : {"010", "-007", "00", "01.5", "0x1f", "0o17", "0b11", "1_000", ".inf", "-.INF", ".nan",
                           "1e999", "9223372036854775808", "123456789012345678901234567890"}) {
    INFO(text);
    const YamlScalar s = scalar(text);
    CHECK(s.type == YamlScalar::Type::malformed);
    CHECK_FALSE(s.remark.empty());
  }
}

// A decimal comma and grouped thousands, which no installed locale is needed for.
struct Comma : std::numpunct<char> {
  char do_decimal_point() const override { return ','; }
  char do_thousands_sep() const override { return '.'; }
  std::string do_grouping() const override { return "\3"; }
};

TEST_CASE("numbers and places do not depend on the locale") {
  const std::locale cpp = std::locale::global(std::locale(std::locale::classic(), new Comma));
  const std::string c = std::setlocale(LC_ALL, nullptr);
  for (const char* name : {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "de_DE"}) {
    if (std::setlocale(LC_ALL, name) != nullptr) break;  // where one is installed
  }
  const Json half = scalar("1.5").value, thousands = scalar("20480").value;
  const YamlScalar comma = scalar("1,5");
  const std::string fault = first_fault(std::string(1233, '\n') + "a: 1\na: 2\n");
  const std::string id = trial_id(TrialSpec{}, stamp::testing::schema());
  std::setlocale(LC_ALL, c.c_str());
  std::locale::global(cpp);
  CHECK(half == 1.5);
  CHECK(thousands == 20480);
  CHECK(comma.type == YamlScalar::Type::text);
  CHECK(fault == "f.yaml:1235:1: a: duplicate key; first given at line 1234");
  CHECK(id == trial_id(TrialSpec{}, stamp::testing::schema()));
}

TEST_CASE("what YAML allows and hides slips is a fault with its place") {
  CHECK(first_fault("a: 1\nb: 2\na: 3\n") == "f.yaml:3:1: a: duplicate key; first given at line 1");
  CHECK(first_fault("m: {x: 1, x: 2}\n") == "f.yaml:1:11: x: duplicate key; first given at line 1");
  CHECK(first_fault("a: 1\n\"a\": 3\n") == "f.yaml:2:1: a: duplicate key; first given at line 1");
  CHECK(starts_with(first_fault("a: &x 1\n"), "f.yaml:1:4: an anchor (&name)"));
  CHECK(first_fault("a: &x {b: 1}\nc: *x\n").find("extends") != std::string::npos);
  CHECK(starts_with(first_fault("a: {b: 1}\nc: {<<: {d: 1}}\n"), "f.yaml:2:5: a merge key (<<)"));
  CHECK(starts_with(first_fault("a: !!int 3\n"), "f.yaml:1:4: the tag"));
  CHECK(starts_with(first_fault("a: !mine {b: 1}\n"), "f.yaml:1:4: the tag"));
  CHECK(first_fault("? [1, 2]\n: 3\n").find("a key that is a list") != std::string::npos);
  CHECK(first_fault("{{a: 1}: 3}\n").find("a key that is a map") != std::string::npos);
  CHECK(first_fault("? \n: 3\n").find("a key that is empty") != std::string::npos);
  CHECK(first_fault("a: 1\n---\nb: 2\n").find("a second document") != std::string::npos);
}

TEST_CASE("faults of one file come together") {
  std::vector<std::string> faults;
  parse_yaml("a: 1\na: 2\nb: &x 3\nc: !!str d\n", "f.yaml", faults);
  CHECK(faults.size() == 3);
}

TEST_CASE("syntax errors name their place") {
  CHECK(starts_with(first_fault("a: [1, 2\nb: 3\n"), "f.yaml:2:"));
  // yaml-cpp alone reads these as one long value.
  CHECK(first_fault("a: \"open\n").find("illegal EOF in scalar") != std::string::npos);
  CHECK(first_fault("a: 'open\nb: 2\nc: 3\n").find("illegal EOF in scalar") != std::string::npos);
  CHECK(starts_with(first_fault("a: 1\n\tb: 2\n"), "f.yaml:2:"));
  CHECK(starts_with(first_fault("a: b: c\n"), "f.yaml:1:5: not valid YAML"));
  CHECK(starts_with(first_fault("a: 1\n  b: 2\n"), "f.yaml:2:"));
}

TEST_CASE("nesting is limited before it costs anything") {
  const auto brackets = [](int n, char open, char close) {
    return "a: " + std::string(n, open) + std::string(n, close) + "\n";
  };
  CHECK(first_fault(brackets(yaml_depth_limit - 1, '[', ']')).empty());
  CHECK(first_fault(brackets(yaml_depth_limit, '[', ']')).find("more than 64") != std::string::npos);
  CHECK(first_fault(std::string(500000, '[')).find("f.yaml:1:65: more than 64 brackets") != std::string::npos);
  CHECK(first_fault(std::string(500000, '{')).find("more than 64") != std::string::npos);
  // Closing brackets in quotes fool the count of brackets, not the limit on depth.
  std::string fooling = "a: ";
  for (int i = 0; i < 100000; ++i) fooling += "[\"]\",";
  CHECK(first_fault(fooling).find("more than 64 lists and maps") != std::string::npos);
  // Block lists nest without brackets.
  std::string dashes;
  for (int i = 0; i < 200000; ++i) dashes += "- ";
  CHECK(first_fault(dashes).find("more than 64 lists and maps") != std::string::npos);
  std::string steps;
  for (int i = 0; i < 500; ++i) steps += std::string(i, ' ') + "k:\n";
  CHECK(first_fault(steps).find("more than 64 lists and maps") != std::string::npos);
  std::string questions;
  for (int i = 0; i < 100000; ++i) questions += "? ";
  CHECK_FALSE(first_fault(questions).empty());
}

TEST_CASE("size is limited") {
  CHECK(first_fault("a: " + std::string(yaml_size_limit, 'x')).find("at most 1.0 MB") ==
        std::string::npos);  // bytes_text rounds
  CHECK(first_fault("a: " + std::string(yaml_size_limit, 'x')).find("an experiment file has at most") !=
        std::string::npos);
  const Folder folder;
  const auto path = folder.write("huge.yaml", std::string(std::size_t{50} << 20, '['));
  std::vector<std::string> faults;
  CHECK(read_yaml(path, faults).is_null());
  REQUIRE(faults.size() == 1);
  CHECK(faults[0].find("52 MB") != std::string::npos);
}

TEST_CASE("the number of values is limited, as later steps compare them with each other") {
  std::string many = "a: [";
  for (std::size_t i = 0; i < yaml_node_limit; ++i) many += "1,";
  CHECK(first_fault(many + "]\n").find("more than 20000 values") != std::string::npos);
}

TEST_CASE("bytes that are not text are refused where they stand") {
  using namespace std::string_literals;
  CHECK(starts_with(first_fault("a: 1\nb: \0x\n"s), "f.yaml:2:4: not a text file"));
  CHECK(starts_with(first_fault("a: \x01\n"), "f.yaml:1:4: not a text file"));
  CHECK_FALSE(first_fault("a: \xff\xfe\n").empty());
  CHECK_FALSE(first_fault("a: \xc0\x80\n").empty());          // overlong
  CHECK_FALSE(first_fault("a: \xed\xa0\x80\n").empty());      // surrogate
  CHECK_FALSE(first_fault("a: \xf4\x90\x80\x80\n").empty());  // past U+10FFFF
  CHECK_FALSE(first_fault("a: \xe2\x82").empty());            // cut
  CHECK(first_fault("a: \"\xe2\x82\xac \xf0\x9f\x98\x80 \xc3\xa9\"\n").empty());
  CHECK_FALSE(first_fault("\xff\xfe"
                          "a\0:\0"s)
                  .empty());  // UTF-16
}

TEST_CASE("files that are no files are told so") {
  const Folder folder;
  const auto message = [](const std::filesystem::path& path) {
    try {
      read_yaml(path);
    } catch (const ConfigError& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  CHECK(message(folder.path() / "none.yaml").find("no such file") != std::string::npos);
  CHECK(message(folder.path()).find("is a folder") != std::string::npos);
  CHECK(message("/dev/null").find("not a regular file") != std::string::npos);
  CHECK(message(folder.write("empty.yaml", "")).find("the file is empty") != std::string::npos);
  CHECK(message(folder.write("comment.yaml", "# nothing\n")).find("the file is empty") != std::string::npos);
  CHECK(message(folder.write("elf.yaml", std::string("\x7f"
                                                     "ELF\x02\x01\x01\0\0",
                                                     9)))
            .find("not a text file") != std::string::npos);
  CHECK(message(folder.write("good.yaml", "a: 1\n")).empty());
}

TEST_CASE("a tab in the indentation is called one, at its place; elsewhere tabs are fine") {
  const std::string what = ": a tab in the indentation; YAML indents with spaces";
  CHECK(first_fault("a:\n\tb: 1\n") == "f.yaml:2:1" + what);
  CHECK(first_fault("a:\n  b: 1\n \tc: 2\n") == "f.yaml:3:2" + what);
  CHECK(first_fault("\ta: 1\n") == "f.yaml:1:1" + what);
  CHECK(first_fault("a:\n -\tb: 1\n") == "f.yaml:2:3" + what);
  CHECK(first_fault("a:\n  b: c: 1\t\n").find("not valid YAML") != std::string::npos);
  CHECK(first_fault("a:\t1\nb: [1,\t2]\t# text\nc: {d: 1,\n\te: 2}\n").empty());
}
