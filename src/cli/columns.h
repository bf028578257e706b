#pragma once

#include <string>
#include <string_view>

namespace gpu_gate {

// How wide text is on a terminal. The text is printable (base/printable.h).

/// Takes the characters and their widths from the user's locale (setlocale(3), LC_CTYPE). True
/// where they are UTF-8.
bool use_locale_characters();

/// The columns that the text takes: two for a character of East Asian scripts, none for one that
/// combines with the one before (wcwidth(3)). What the locale does not know counts as one.
std::size_t columns(std::string_view text);

/// As much of the text as fits, with the ellipsis behind it where something is missing.
std::string cut(const std::string& text, std::size_t width, std::string_view ellipsis);

/// Each character that is not ASCII as a question mark, as ps(1) and ls(1) do.
std::string in_ascii(std::string_view text);

}  // namespace gpu_gate
