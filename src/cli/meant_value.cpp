#include "cli/meant_value.h"

#include <algorithm>
#include <cctype>
#include <iterator>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/typography.h"

namespace gpu_gate {
namespace {

bool is_digit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

std::string without(std::string text, std::string_view characters) {
  std::erase_if(text, [&](char c) { return characters.find(c) != std::string_view::npos; });
  return text;
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
}

std::vector<std::string> split(const std::string& text, std::string_view separators) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = text.find_first_not_of(separators, at);
    if (begin == std::string::npos) break;
    const std::size_t end = std::min(text.find_first_of(separators, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    at = end;
  }
  return parts;
}

bool is_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_digit);
}

/// "0" of "cuda:0", "gpu0", "/dev/nvidia0"; "1-3" of "3-1".
std::string meant_item(std::string item) {
  constexpr std::string_view kNames[] = {"cuda:",  "cuda", "gpu:",    "gpu", "/dev/nvidia",
                                         "nvidia", "#",    "device:", "id:"};
  const std::string small = lower(item);
  for (const std::string_view name : kNames) {
    if (small.starts_with(name) && small.size() > name.size() && is_digit(small[name.size()])) {
      item.erase(0, name.size());
      break;
    }
  }
  const auto dash = item.find('-');
  if (dash == std::string::npos) return item;
  const std::string first = item.substr(0, dash);
  const std::string last = item.substr(dash + 1);
  const bool down = is_digits(first) && is_digits(last) &&
                    std::pair(first.size(), first) > std::pair(last.size(), last);
  return down ? last + "-" + first : item;
}

/// A word for a unit, and ours.
using Named = std::pair<std::string_view, std::string_view>;

/// Of several that begin alike the longest is meant.
constexpr Named kTimes[] = {
    {"milliseconds", "ms"}, {"millis", "ms"}, {"msecs", "ms"}, {"msec", "ms"}, {"ms", "ms"},
    {"minutes", "m"},       {"minute", "m"},  {"mins", "m"},   {"min", "m"},   {"m", "m"},
    {"seconds", "s"},       {"second", "s"},  {"secs", "s"},   {"sec", "s"},   {"s", "s"},
    {"hours", "h"},         {"hour", "h"},    {"hrs", "h"},    {"hr", "h"},    {"h", "h"},
    {"days", "d"},          {"day", "d"},     {"d", "d"},
};
constexpr Named kMeantSizes[] = {
    {"gigabytes", "G"}, {"gigabyte", "G"}, {"gigs", "G"},      {"gig", "G"}, {"go", "G"},
    {"megabytes", "M"}, {"megabyte", "M"}, {"megs", "M"},      {"meg", "M"}, {"mo", "M"},
    {"terabytes", "T"}, {"terabyte", "T"}, {"kilobytes", "K"}, {"to", "T"},  {"gib", "G"},
    {"gb", "G"},        {"mib", "M"},      {"mb", "M"},        {"g", "G"},   {"m", "M"},
};

/// Numbers with units of this table, in whatever words; "" for anything else.
template <std::size_t N>
std::string with_units(std::string_view text, const Named (&units)[N]) {
  std::string result;
  while (!text.empty()) {
    const std::size_t digits = std::min(text.find_first_not_of("0123456789."), text.size());
    if (digits == 0) return "";
    result += text.substr(0, digits);
    text.remove_prefix(digits);
    if (text.empty()) return result;
    const auto* unit = std::find_if(std::begin(units), std::end(units), [&](const Named& each) {
      return text.starts_with(each.first);
    });
    if (unit == std::end(units)) return "";
    result += unit->second;
    text.remove_prefix(unit->first.size());
  }
  return result;
}

/// "1h30m" of "1:30:00".
std::string of_clock(const std::string& text) {
  const std::vector<std::string> parts = split(text, ":");
  if (parts.size() != 3 || !std::all_of(parts.begin(), parts.end(), is_digits)) return "";
  constexpr std::string_view kUnits = "hms";
  std::string time;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::size_t digit = parts[i].find_first_not_of('0');
    if (digit != std::string::npos) time += parts[i].substr(digit) + kUnits[i];
  }
  return time;
}

/// A comma as a decimal point, unless it sets thousands apart.
std::string plain_decimals(const std::string& text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::size_t digits =
        std::min(text.find_first_not_of("0123456789", i + 1), text.size()) - i - 1;
    const bool thousands = digits == 3 && text[i] != '.';
    if (text[i] != ',' && text[i] != '_' && text[i] != '\'') {
      plain += text[i];
    } else if (!thousands) {
      plain += '.';
    }
  }
  return plain;
}

}  // namespace

std::string meant_list(const std::string& text) {
  std::string plain = without(with_plain_marks(text), "[](){}\"'");
  for (const std::string_view range : {"...", "..", " to "}) replace_all(plain, range, "-");
  std::string list;
  for (const std::string& item : split(plain, " \t,;|+&")) {
    if (lower(item) == "and" || lower(item) == "gpu") continue;
    list += (list.empty() ? "" : ",") + meant_item(item);
  }
  return list;
}

std::string meant_time(const std::string& text) {
  const std::string plain = plain_decimals(lower(without(with_plain_marks(text), " \t\"'+")));
  for (const std::string_view never : {"never", "none", "forever", "unlimited", "infinite"}) {
    if (plain == never) return "inf";
  }
  if (plain.find(':') != std::string::npos) return of_clock(plain);
  std::string time = with_units(plain, kTimes);
  const bool ends_with_minutes = time.find('h') != std::string::npos && is_digit(time.back());
  if (ends_with_minutes) time += 'm';
  return time;
}

std::string meant_size(const std::string& text) {
  return with_units(plain_decimals(lower(without(with_plain_marks(text), " \t\"+"))), kMeantSizes);
}

std::string meant_number(const std::string& text) {
  constexpr std::string_view kWords[] = {"zero", "one", "two",   "three", "four",
                                         "five", "six", "seven", "eight"};
  std::string plain = lower(without(with_plain_marks(text), " \t\"'+%=:"));
  const auto* word = std::find(std::begin(kWords), std::end(kWords), plain);
  if (word != std::end(kWords)) return std::to_string(word - std::begin(kWords));
  for (const std::string_view name : {"gpus", "gpu", "x"}) {
    if (plain.starts_with(name)) plain.erase(0, name.size());
    if (plain.ends_with(name)) plain.erase(plain.size() - name.size());
  }
  if (plain.ends_with(".0")) plain.erase(plain.size() - 2);
  return is_digits(plain) ? plain : "";
}

bool means_all(const std::string& text) {
  const std::string word = lower(text);
  return word == "all" || word == "any" || word == "*" || word == "auto" || word == "none";
}

}  // namespace gpu_gate
