#pragma once

#include <sys/types.h>

#include <string_view>

namespace gpu_gate {

struct PromptWrite {
  std::size_t bytes = 0;  // how many were taken
  bool full = false;  // what is left may be taken later; false: all is written, or never will be
  int errnum = 0;     // why it never will be
};

/// Writes what `fd` takes at once, and never waits for somebody to read it: not where a pipe is
/// full, nor on a terminal after Ctrl-S, nor where its reader is stopped, not even if that happens
/// between the question and the write. O_NONBLOCK would do the same, but it belongs to the open
/// file description, which the caller shares. Neither SIGPIPE, SIGXFSZ nor SIGTTOU (stty
/// tostop) comes of it.
PromptWrite write_promptly(int fd, std::string_view text);

/// As read(2), but never waits for somebody to write there, where others read from it too. On the
/// terminal of this process's session it fails with EIO, and does not stop the process, while that
/// is in the background.
ssize_t read_promptly(int fd, char* bytes, std::size_t size);

/// Has it room by then? Blocks until it has, or `milliseconds` have passed.
bool wait_for_room(int stream, int milliseconds);

}  // namespace gpu_gate
