#include "cli/nearest.h"

#include <algorithm>
#include <cctype>
#include <limits>

namespace gpu_gate {
namespace {

constexpr std::size_t kMaxLetters = 40;  // no slip of the fingers makes a longer word of ours

std::string letters(const std::string& word) {
  std::string result = word.substr(std::min(word.find_first_not_of('-'), word.size()));
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

/// How many letters were left out, put in, changed, or swapped with the next.
std::size_t slips(const std::string& a, const std::string& b) {
  std::vector<std::vector<std::size_t>> rows(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) {
    for (std::size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        rows[i][j] = i + j;
        continue;
      }
      const std::size_t changed = rows[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      rows[i][j] = std::min({rows[i - 1][j] + 1, rows[i][j - 1] + 1, changed});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        rows[i][j] = std::min(rows[i][j], rows[i - 2][j - 2] + 1);
      }
    }
  }
  return rows[a.size()][b.size()];
}

/// Are the letters of `word` in `text`, in this order?
bool abbreviates(const std::string& word, const std::string& text) {
  std::size_t at = 0;
  for (const char c : text) {
    if (at < word.size() && word[at] == c) ++at;
  }
  return at == word.size();
}

}  // namespace

std::string nearest(const std::string& word, const std::vector<std::string>& known) {
  const std::string typed = letters(word);
  if (typed.size() < 2 || typed.size() > kMaxLetters) return "";
  std::string best;
  std::size_t least = std::numeric_limits<std::size_t>::max();
  for (const std::string& name : known) {
    const std::string meant = letters(name);
    const bool short_for = abbreviates(typed, meant);
    const std::size_t far = slips(typed, meant);
    if (!short_for && far > typed.size() / 3) continue;
    const std::size_t rank = short_for ? far : far + kMaxLetters;  // abbreviations come first
    if (rank >= least) continue;
    least = rank;
    best = name;
  }
  return best;
}

}  // namespace gpu_gate
