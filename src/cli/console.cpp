#include "cli/console.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string_view>

#include "base/signals.h"

namespace gpu_gate {
namespace {

constexpr std::string_view kPrefix = "gpu-gate: ";

/// Writes all of it; returns 0, or the errno that says why it could not.
int write_all(int stream, std::string_view text) {
  const WriteSignals signals;
  while (!text.empty()) {
    const ssize_t written = ::write(stream, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
      continue;
    }
    const int errnum = errno;
    if (errnum == EINTR) continue;
    if (errnum == EAGAIN) {  // somebody made the terminal non-blocking
      struct pollfd wait{.fd = stream, .events = POLLOUT, .revents = 0};
      if (::poll(&wait, 1, 1000) > 0) continue;
    }
    signals.failed(errnum);
    return errnum;
  }
  return 0;
}

}  // namespace

void say(const std::string& lines) {
  std::string text;
  std::string_view rest = lines;
  while (!rest.empty()) {
    const auto end = rest.find('\n');
    text.append(kPrefix).append(rest.substr(0, end)).append("\n");
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  }
  write_all(STDERR_FILENO, text);
}

Status print(const std::string& text) {
  const int errnum = write_all(STDOUT_FILENO, text);
  if (errnum == 0) return {};
  return fail(ErrorKind::output,
              std::string("cannot write to standard output: ") + std::strerror(errnum), errnum);
}

bool stderr_is_terminal() {
  const char* term = std::getenv("TERM");
  return ::isatty(STDERR_FILENO) == 1 && term != nullptr && std::string_view(term) != "dumb";
}

void show_line(const std::string& line) {
  struct winsize size{};
  std::size_t width = 80;
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) width = size.ws_col;
  std::string text = "\r\x1b[K";  // to the first column, erase to the end of the line (ECMA-48)
  if (!line.empty()) text.append((std::string(kPrefix) + line).substr(0, width - 1));
  write_all(STDERR_FILENO, text);
}

}  // namespace gpu_gate
