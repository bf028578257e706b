#include "cli/values.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <limits>
#include <optional>
#include <string_view>

#include "base/printable.h"

namespace gpu_gate {
namespace {

using std::chrono::nanoseconds;

constexpr double kMaxSeconds = 1e9;  // some thirty years: longer is for ever, and fits nanoseconds

tl::unexpected<Error> wrong(const std::string& text, const std::string& problem) {
  return fail(ErrorKind::usage, quoted(text) + " is " + problem);
}

/// A decimal number with nothing around it, or "inf". (strtod(3) alone takes more: spaces, "nan",
/// hexadecimal; std::from_chars would bring in all of libm, and with it half of the loader's work.)
std::optional<double> decimal(const std::string& text) {
  if (text == "inf" || text == "infinity") return std::numeric_limits<double>::infinity();
  const bool digits_only = text.find_first_not_of("0123456789.eE+-") == std::string::npos;
  if (text.empty() || text.front() == '+' || !digits_only) return std::nullopt;
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  return end == text.c_str() + text.size() ? std::optional(value) : std::nullopt;
}

nanoseconds in_nanoseconds(double seconds) {
  return nanoseconds(static_cast<std::int64_t>(std::min(seconds, kMaxSeconds) * 1e9));
}

/// The decimal number at the start of a text, as written.
std::string number_at_start(const std::string& text) {
  return text.substr(0, text.find_first_not_of("0123456789.eE+-"));
}

struct Unit {
  std::string_view name;
  double seconds = 0;
};
constexpr Unit kUnits[] = {{.name = "ms", .seconds = 0.001},
                           {.name = "s", .seconds = 1},
                           {.name = "m", .seconds = 60},
                           {.name = "h", .seconds = 3600},
                           {.name = "d", .seconds = 86400}};

/// The seconds of "1h30m": numbers with units, at least one.
std::optional<double> sum_of_units(const std::string& text) {
  double sum = 0;
  for (std::string rest = text;;) {
    const std::string written = number_at_start(rest);
    const std::optional<double> number = decimal(written);
    rest.erase(0, written.size());
    // "ms" comes before "m" in the table.
    const auto* unit = std::find_if(std::begin(kUnits), std::end(kUnits),
                                    [&](const Unit& each) { return rest.starts_with(each.name); });
    if (!number || *number < 0 || unit == std::end(kUnits)) return std::nullopt;
    sum += *number * unit->seconds;
    rest.erase(0, unit->name.size());
    if (rest.empty()) return sum;
  }
}

/// The MiB of "G", "GB", "gib"; of "" 1.
std::optional<double> size_unit(std::string_view text) {
  constexpr std::string_view kLetters = "kmgt";
  std::string unit(text);
  std::transform(unit.begin(), unit.end(), unit.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (unit.empty()) return 1;
  const auto power = kLetters.find(unit[0]);
  const std::string rest = unit.substr(1);
  if (power == std::string_view::npos ||
      (!rest.empty() && rest != "b" && rest != "i" && rest != "ib")) {
    return std::nullopt;
  }
  constexpr double kMib[] = {1.0 / 1024, 1, 1024, 1024.0 * 1024};
  return kMib[power];
}

}  // namespace

template <class Number>
Result<Number> whole_number(const std::string& text, Bounds<Number> bounds) {
  Number number = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (problem == std::errc::invalid_argument || end != text.data() + text.size()) {
    return wrong(text, "not a whole number");
  }
  const bool negative = text.front() == '-';
  if (problem == std::errc::result_out_of_range && !negative) {
    number = std::numeric_limits<Number>::max();
  }
  if (negative || number < bounds.min) {
    return wrong(text, "less than " + std::to_string(bounds.min));
  }
  if (number > bounds.max) return wrong(text, "more than " + std::to_string(bounds.max));
  return number;
}

template Result<int> whole_number(const std::string& text, Bounds<int> bounds);
template Result<std::int64_t> whole_number(const std::string& text, Bounds<std::int64_t> bounds);

Result<nanoseconds> time_value(const std::string& text) {
  const bool negative = text.starts_with('-');
  const std::string amount = text.substr(negative ? 1 : 0);
  std::optional<double> seconds = decimal(amount);
  if (!seconds) seconds = sum_of_units(amount);
  if (!seconds || *seconds < 0) return wrong(text, "not a time");
  if (negative && *seconds > 0) return wrong(text, "less than 0");
  return in_nanoseconds(*seconds);
}

Result<std::int64_t> size_value(const std::string& text) {
  constexpr double kMaxMib = 1e15;  // larger than any machine has, and a double tells all below
  const bool negative = text.starts_with('-');
  const std::string amount = text.substr(negative ? 1 : 0);
  const std::string digits = amount.substr(0, amount.find_first_not_of("0123456789."));
  const std::optional<double> number = decimal(digits);
  const std::optional<double> unit = size_unit(std::string_view(amount).substr(digits.size()));
  if (!number || !unit) return wrong(text, "not a size");
  const double mib = std::min(*number * *unit, kMaxMib);
  if (negative && mib > 0) return wrong(text, "less than 0");
  const auto whole = static_cast<std::int64_t>(mib);
  return static_cast<double>(whole) < mib ? whole + 1 : whole;
}

std::optional<std::string> shell_line(std::span<const std::string> words) {
  constexpr std::size_t kMaxBytes = 1000;
  std::string line;
  for (const std::string& word : words) {
    if (printable(word) != word || line.size() + word.size() > kMaxBytes) return std::nullopt;
    if (!line.empty()) line += ' ';
    line += shell_word(word);
  }
  return line;
}

std::string quoted(const std::string& word) { return "'" + printable(word) + "'"; }

}  // namespace gpu_gate
