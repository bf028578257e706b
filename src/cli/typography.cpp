#include "cli/typography.h"

#include <algorithm>
#include <cctype>
#include <iterator>
#include <string_view>

namespace gpu_gate {
namespace {

// Hyphens, figure, en and em dash, bar, minus, and the forms of Chinese and Japanese text.
constexpr std::string_view kDashes[] = {"‐", "‑", "‒", "–", "—", "―", "−", "﹘", "﹣", "－"};
constexpr std::string_view kOpening[] = {"“", "„", "‟", "«", "‘", "‚", "‹", "″", "′", "”", "’"};
constexpr std::string_view kClosing[] = {"”", "“", "»", "’", "‘", "›", "″", "′"};

template <std::size_t N>
std::string_view first_of(std::string_view text, const std::string_view (&marks)[N]) {
  const auto* mark = std::find_if(std::begin(marks), std::end(marks),
                                  [&](std::string_view each) { return text.starts_with(each); });
  return mark == std::end(marks) ? std::string_view() : *mark;
}

std::string_view closing_mark_of(std::string_view text) {
  const auto* mark = std::find_if(std::begin(kClosing), std::end(kClosing),
                                  [&](std::string_view each) { return text.ends_with(each); });
  return mark == std::end(kClosing) ? std::string_view() : *mark;
}

std::string plain_dashes(std::string_view text) {
  std::string plain;
  while (!text.empty()) {
    const std::string_view dash = first_of(text, kDashes);
    plain += dash.empty() ? text.front() : '-';
    text.remove_prefix(std::max<std::size_t>(dash.size(), 1));
  }
  return plain;
}

/// "–n" as "-n", "—count=2" as "--count=2", "—" as "--"; any other word as it is.
std::string plain_option(const std::string& word) {
  std::string_view name = word;
  bool foreign = false;
  for (;;) {
    const std::string_view dash = first_of(name, kDashes);
    if (dash.empty() && !name.starts_with('-')) break;
    foreign = foreign || !dash.empty();
    name.remove_prefix(std::max<std::size_t>(dash.size(), 1));
  }
  if (name.size() == word.size()) return word;
  const std::string plain = plain_dashes(name);
  if (!foreign) return word.substr(0, word.size() - name.size()) + plain;
  const bool letter = plain.size() == 1 || (plain.size() > 1 && std::isalpha(plain[1]) == 0);
  return (letter ? "-" : "--") + plain;
}

}  // namespace

std::string with_plain_marks(const std::string& text) {
  std::string_view inner = text;
  inner.remove_prefix(first_of(inner, kOpening).size());
  inner.remove_suffix(closing_mark_of(inner).size());
  return plain_dashes(inner);
}

std::vector<std::string> as_typed(const std::vector<std::string>& words) {
  std::vector<std::string> plain;
  for (auto word = words.begin(); word != words.end(); ++word) {
    std::string text = *word;
    if (const std::string_view mark = first_of(text, kOpening); !mark.empty()) {
      text.erase(0, mark.size());
      while (closing_mark_of(text).empty() && word + 1 != words.end()) text += " " + *++word;
      text.erase(text.size() - closing_mark_of(text).size());
    }
    plain.push_back(plain_option(text));
    if (plain.back() != "--") continue;
    plain.insert(plain.end(), word + 1, words.end());
    break;
  }
  return plain;
}

}  // namespace gpu_gate
