// The file of a small network that is named by itself or by its folder.
#pragma once
#include <string>

namespace stamp {

// `where` if it is a file, else the file `name` in the folder `where`. DataError "where: no WHAT; wanted: FILE, or a
// folder with NAME".
std::string weights_file(const std::string& where, const std::string& name, const std::string& what,
                         const std::string& file);

}  // namespace stamp
