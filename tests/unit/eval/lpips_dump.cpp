// LPIPS of pairs of PNG files, a list of what every layer adds for each pair: lpips_dump WEIGHTS A.png B.png ...
// For scripts/reference/lpips_metric.py.
#include <iostream>

#include "base/json.h"
#include "images/png.h"
#include "models/vision/lpips_network.h"

using namespace stamp;

int main(int argc, char** argv) {
  if (argc < 4 || argc % 2 != 0) {
    std::cerr << "lpips_dump WEIGHTS A.png B.png ...\n";
    return 2;
  }
  try {
    const LpipsNetwork network(*open_checkpoint(lpips_file(argv[1])));
    Json all = Json::array();
    for (int i = 2; i < argc; i += 2)
      all.push_back(network.parts(to_floats(read_png(argv[i])), to_floats(read_png(argv[i + 1]))));
    std::cout << all << "\n";
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
  return 0;
}
