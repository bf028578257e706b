#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
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

/// "90", "1.5", "inf": seconds; or numbers with units: "500ms", "45m", "1h30m", "1d".
Result<std::chrono::nanoseconds> time_value(const std::string& text);

/// "8000", "8000M", "7.5GiB": MiB, or a number with K, M, G or T (powers of 1024, in any case, with
/// or without i and B). Rounded up to whole MiB.
Result<std::int64_t> size_value(const std::string& text);

/// "7d", so long ago; "now"; "2026-11-27" and "2026-11-27 14:30" by the local time. In milliseconds
/// since 1970. Of a time that the clocks skip the next, of one that comes twice the first.
Result<std::int64_t> moment_value(const std::string& text);

/// A user's name, or a number, which need not be anybody's. May ask a directory service.
Result<uid_t> user_value(const std::string& text);

/// A word of the user in quotes, made safe for a terminal.
std::string quoted(const std::string& word);

/// Words as a user types them into a shell, with quotes where it needs them; nothing where they
/// would not be the same after copy and paste (control characters), or are many.
std::optional<std::string> shell_line(std::span<const std::string> words);

}  // namespace gpu_gate
