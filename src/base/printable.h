#pragma once

#include <string>
#include <string_view>

namespace gpu_gate {

/// Text of unknown origin (commands, names, paths, words of the user) made safe for a terminal and
/// one line: control characters, invalid UTF-8 and invisible or direction-changing characters are
/// shown as escapes.
std::string printable(std::string_view text);

/// Printable text as a user types it into a shell to mean one word, with quotes where it needs
/// them.
std::string shell_word(std::string_view text);

}  // namespace gpu_gate
