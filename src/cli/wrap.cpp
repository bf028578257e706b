#include "cli/wrap.h"

#include <algorithm>

namespace gpu_gate {

std::vector<std::string> wrapped(const std::string& paragraph, std::size_t width) {
  std::vector<std::string> lines;
  std::size_t at = paragraph.find_first_not_of(' ');
  while (at != std::string::npos) {
    const std::size_t end = std::min(paragraph.find(' ', at), paragraph.size());
    const std::string word = paragraph.substr(at, end - at);
    if (!lines.empty() && lines.back().size() + 1 + word.size() <= width) {
      lines.back().append(" ").append(word);
    } else {
      lines.push_back(word);
    }
    at = paragraph.find_first_not_of(' ', end);
  }
  return lines;
}

}  // namespace gpu_gate
