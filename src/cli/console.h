#pragma once

#include <string>

#include "base/result.h"

namespace gpu_gate {

/// The two streams of the program. Each call is one write(2) where the kernel takes it whole; a
/// closed or full stream never ends the program (no SIGPIPE).

/// Lines to stderr, each with "gpu-gate: " before it: what a program says at its end. Where nobody
/// reads them it waits for a second in all, and drops the rest.
void say(const std::string& lines);

/// The same for what is said while something else matters more. Never waits: what does not go at
/// once is dropped. Returns what is left of a line that went in part, which is to be given back as
/// `unfinished` the next time, so that no line begins within another.
std::string notify(const std::string& unfinished, const std::string& lines);

/// Text to stdout as it is. Errors: ErrorKind::output where it could not all be written.
Status print(const std::string& text);

/// Is it a terminal that is not dumb?
bool takes_escapes(int stream);

/// The columns of the terminal behind a stream; 80 where it does not tell.
std::size_t terminal_width(int stream);

/// May the line on stderr be rewritten in place? (A terminal that is not dumb.)
bool stderr_is_terminal();

/// Is this process in the foreground of the terminal on stderr? Elsewhere the line is somebody
/// else's: what the user types into a shell, say.
bool stderr_in_foreground();

/// Does Ctrl-C on the terminal on stderr send SIGINT to those in its foreground?
bool stderr_has_ctrl_c();

/// Rewrites the line in place; "" clears it. `line` has no line break and is cut to the width.
/// Never waits, as notify.
void show_line(const std::string& line);

}  // namespace gpu_gate
