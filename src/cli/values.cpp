#include "cli/values.h"

#include <pwd.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <iterator>
#include <limits>
#include <optional>
#include <string_view>
#include <tuple>

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

/// The number of so many digits at a place, or nothing.
std::optional<int> digits_at(const std::string& text, std::size_t at, std::size_t count) {
  const std::string digits = text.substr(std::min(at, text.size()), count);
  if (digits.size() != count || digits.find_first_not_of("0123456789") != std::string::npos) {
    return std::nullopt;
  }
  int number = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return number;
}

/// "2026-11-27" or "2026-11-27 14:30".
std::optional<struct tm> written_date(const std::string& text) {
  const auto year = digits_at(text, 0, 4);
  const auto month = digits_at(text, 5, 2);
  const auto day = digits_at(text, 8, 2);
  if (!year || !month || !day || text[4] != '-' || text[7] != '-') return std::nullopt;
  struct tm date{};
  date.tm_year = *year - 1900;
  date.tm_mon = *month - 1;
  date.tm_mday = *day;
  if (text.size() == std::string_view("2026-11-27").size()) return date;
  const auto hour = digits_at(text, 11, 2);
  const auto minute = digits_at(text, 14, 2);
  if (!hour || !minute || text[10] != ' ' || text[13] != ':' || text.size() != 16) {
    return std::nullopt;
  }
  date.tm_hour = *hour;
  date.tm_min = *minute;
  return date;
}

auto fields(const struct tm& date) {
  return std::make_tuple(date.tm_year, date.tm_mon, date.tm_mday, date.tm_hour, date.tm_min);
}

bool is_on_calendar(const struct tm& date) {
  struct tm normal = date;
  const std::time_t time = ::timegm(&normal);
  return ::gmtime_r(&time, &normal) != nullptr && fields(normal) == fields(date);
}

/// The first moment at which the local clock shows this time or a later one.
std::time_t moment_of(const struct tm& date) {
  constexpr std::time_t kClockStep = 1800;  // clocks are put forward and back by no less
  constexpr std::time_t kMostClockSteps = 48;
  struct tm wanted = date;
  wanted.tm_isdst = -1;
  // Of a time that comes twice mktime may take either, and so the search begins long before it.
  std::time_t time = std::mktime(&wanted) - kMostClockSteps * kClockStep;
  const auto is_reached = [&](std::time_t at) {
    struct tm local{};
    return ::localtime_r(&at, &local) != nullptr && fields(local) >= fields(date);
  };
  for (int i = 0; i < 2 * kMostClockSteps && !is_reached(time); ++i) time += kClockStep;
  return time;
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

Result<std::int64_t> moment_value(const std::string& text) {
  if (const auto wanted = written_date(text)) {
    if (!is_on_calendar(*wanted)) return wrong(text, "not on the calendar");
    return static_cast<std::int64_t>(moment_of(*wanted)) * 1000;
  }
  const Result<nanoseconds> ago = time_value(text == "now" ? "0" : text);
  if (!ago) return wrong(text, "neither a time nor a date");
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now - *ago).count();
}

Result<uid_t> user_value(const std::string& text) {
  if (const struct passwd* entry = ::getpwnam(text.c_str())) return entry->pw_uid;
  const Result<int> number = whole_number<int>(text);
  if (!number) return fail(ErrorKind::usage, "there is no user " + quoted(text));
  return static_cast<uid_t>(*number);
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
