#include "cli/console.h"

#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string_view>

#include "base/clock.h"
#include "base/prompt_write.h"
#include "base/signals.h"

namespace gpu_gate {
namespace {

constexpr std::string_view kPrefix = "gpu-gate: ";

constexpr std::chrono::seconds kForTheReader{1};

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
    // Somebody made the stream non-blocking.
    if (errnum == EAGAIN && wait_for_room(stream, 1000)) continue;
    signals.failed(errnum);
    return errnum;
  }
  return 0;
}

std::string with_prefix(std::string_view lines) {
  std::string text;
  while (!lines.empty()) {
    const auto end = lines.find('\n');
    text.append(kPrefix).append(lines.substr(0, end)).append("\n");
    lines.remove_prefix(end == std::string_view::npos ? lines.size() : end + 1);
  }
  return text;
}

}  // namespace

void say(const std::string& lines) {
  const std::string whole = with_prefix(lines);
  std::string_view text = whole;
  const auto until = Clock::now() + kForTheReader;
  for (;;) {
    const PromptWrite done = write_promptly(STDERR_FILENO, text);
    text.remove_prefix(done.bytes);
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()).count();
    if (!done.full || left <= 0) return;
    wait_for_room(STDERR_FILENO, static_cast<int>(left));
  }
}

std::string notify(const std::string& unfinished, const std::string& lines) {
  const std::string text = unfinished + with_prefix(lines);
  const PromptWrite done = write_promptly(STDERR_FILENO, text);
  if (!done.full) return "";
  if (done.bytes == 0) return unfinished;
  if (text[done.bytes - 1] == '\n') return "";
  return text.substr(done.bytes, text.find('\n', done.bytes) + 1 - done.bytes);
}

Status print(const std::string& text) {
  const int errnum = write_all(STDOUT_FILENO, text);
  if (errnum == 0) return {};
  return fail(ErrorKind::output,
              std::string("cannot write to standard output: ") + std::strerror(errnum), errnum);
}

bool takes_escapes(int stream) {
  const char* term = std::getenv("TERM");
  return ::isatty(stream) == 1 && term != nullptr && std::string_view(term) != "dumb";
}

std::size_t terminal_width(int stream) {
  struct winsize size{};
  return ::ioctl(stream, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

bool stderr_is_terminal() { return takes_escapes(STDERR_FILENO); }

bool stderr_in_foreground() {
  const pid_t foreground = ::tcgetpgrp(STDERR_FILENO);
  return foreground > 0 && foreground == ::getpgrp();
}

bool stderr_has_ctrl_c() {
  constexpr cc_t kCtrlC = 3;
  struct termios mode{};
  return ::tcgetattr(STDERR_FILENO, &mode) == 0 && (mode.c_lflag & ISIG) != 0 &&
         mode.c_cc[VINTR] == kCtrlC;
}

void show_line(const std::string& line) {
  const std::size_t width = terminal_width(STDERR_FILENO);
  std::string text = "\r\x1b[K";  // to the first column, erase to the end of the line (ECMA-48)
  if (!line.empty()) text.append((std::string(kPrefix) + line).substr(0, width - 1));
  write_promptly(STDERR_FILENO, text);
}

}  // namespace gpu_gate
