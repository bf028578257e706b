// reference TEMPLATE RESULT: fills in a template of the man page or of a completion.
// reference: lists the options, for tests. Runs when gpu-gate is built; it is not installed.
#include "cli/reference.h"

#include <fstream>
#include <iostream>
#include <sstream>

int main(int count, char** words) {
  if (count == 1) {
    std::cout << gpu_gate::options_listed();
    return 0;
  }
  if (count != 3) return 2;
  std::ostringstream text;
  text << std::ifstream(words[1]).rdbuf();
  const auto result = gpu_gate::filled_in(text.str());
  if (!result) {
    std::cerr << words[1] << ": there is no " << result.error().text << "\n";
    return 1;
  }
  std::ofstream file(words[2]);
  file << *result << std::flush;
  return file ? 0 : 1;
}
