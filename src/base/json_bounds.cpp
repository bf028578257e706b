#include "base/json_bounds.h"

#include <cstddef>

namespace gpu_gate {
namespace {

constexpr int kMostNested = 8;     // records and lines of the history have 3
constexpr int kMostCommas = 8192;  // a line of the history with 1,024 devices has 5,000

}  // namespace

bool is_modest_json(std::string_view text) {
  int nested = 0;
  int commas = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') {
      in_string = !in_string;
    } else if (in_string) {
      if (c == '\\') ++i;  // what follows ends no string
    } else if (c == '[' || c == '{') {
      if (++nested > kMostNested) return false;
    } else if (c == ']' || c == '}') {
      --nested;
    } else if (c == ',' && ++commas > kMostCommas) {
      return false;
    }
  }
  return true;
}

}  // namespace gpu_gate
