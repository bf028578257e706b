#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace gpu_gate {

/// Text of unknown origin (commands, names, paths, words of the user) made safe for a terminal and
/// one line: control characters, invalid UTF-8 and invisible or direction-changing characters are
/// shown as escapes.
std::string printable(std::string_view text);

/// The beginning of a text: so many characters at the most. A byte that is not UTF-8 counts as one.
std::string_view first_characters(std::string_view text, std::size_t most);

/// Printable text as a user types it into a shell to mean one word, with quotes where it needs
/// them.
std::string shell_word(std::string_view text);

}  // namespace gpu_gate
