#include "cli/values.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <optional>

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

/// How many seconds the unit at the end of `text` has.
std::optional<double> unit_at_end(std::string_view text) {
  switch (text.empty() ? '\0' : text.back()) {
    case 's':
      return 1;
    case 'm':
      return 60;
    case 'h':
      return 3600;
    case 'd':
      return 86400;
    default:
      return std::nullopt;
  }
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

Result<nanoseconds> seconds_value(const std::string& text) {
  const std::optional<double> seconds = decimal(text);
  if (!seconds) return wrong(text, "not a number");
  if (*seconds < 0) return wrong(text, "less than 0");
  return in_nanoseconds(*seconds);
}

Result<nanoseconds> time_value(const std::string& text) {
  const std::optional<double> unit = unit_at_end(text);
  const auto number = decimal(text.substr(0, text.size() - (unit ? 1 : 0)));
  if (!number) return wrong(text, "not a time");
  if (*number < 0) return wrong(text, "less than 0");
  return in_nanoseconds(*number * unit.value_or(1));
}

std::string quoted(const std::string& word) { return "'" + printable(word) + "'"; }

}  // namespace gpu_gate
