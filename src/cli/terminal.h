// Talk goes to stderr, data to stdout.
#pragma once
#include <string>
#include <vector>

namespace stamp {

void say(const std::string& line);   // stderr
void fail(const std::string& text);  // stderr, "stamp: " in front of every line
void data(const std::string& text);  // stdout, as it is
bool stdout_is_terminal();

// Columns padded to their widest entry, two blanks apart; the first row is the head.
std::string columns(const std::vector<std::vector<std::string>>& rows);

}  // namespace stamp
