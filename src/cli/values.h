#pragma once

#include <chrono>
#include <limits>
#include <string>

#include "base/result.h"

namespace gpu_gate {

/// Words of the command line as values. An error's text says what is wrong with the word:
/// "'x' is not a whole number"; the caller adds the option's name and what to write.

template <class Number>
struct Bounds {
  Number min = 0;
  Number max =
      std::numeric_limits<Number>::max();  // the type's own: larger ones are cut down to it
};

/// Decimal digits, for int and std::int64_t. What is too large for the type is too large for any
/// machine, and that is for the machine to say.
template <class Number>
Result<Number> whole_number(const std::string& text, Bounds<Number> bounds = {});

/// "1.5", "1e3", "inf": seconds.
Result<std::chrono::nanoseconds> seconds_value(const std::string& text);

/// The same with a unit: "90s", "45m", "2h", "1d"; seconds without one.
Result<std::chrono::nanoseconds> time_value(const std::string& text);

/// A word of the user in quotes, made safe for a terminal.
std::string quoted(const std::string& word);

}  // namespace gpu_gate
