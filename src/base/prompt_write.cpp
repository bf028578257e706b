#include "base/prompt_write.h"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <optional>

#include "base/interrupter.h"
#include "base/signals.h"

namespace gpu_gate {
namespace {

constexpr std::chrono::milliseconds kMostBlocked{10};  // that a call blocks

/// Nobody reads what is written there, so nobody can delay it.
bool is_regular_file(int fd) {
  struct stat info{};
  return ::fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
}

}  // namespace

bool wait_for_room(int stream, int milliseconds) {
  struct pollfd room{.fd = stream, .events = POLLOUT, .revents = 0};
  return ::poll(&room, 1, milliseconds) > 0;
}

ssize_t read_promptly(int fd, char* bytes, std::size_t size) {
  const SignalBlock not_stopped(set_of({SIGTTIN}));
  std::optional<Interrupter> interrupter;
  if (!is_regular_file(fd)) {
    interrupter.emplace();
    [[maybe_unused]] const Status started = interrupter->start(kMostBlocked, kMostBlocked);
  }
  return ::read(fd, bytes, size);
}

PromptWrite write_promptly(int fd, std::string_view text) {
  const WriteSignals signals;
  const SignalBlock not_stopped(set_of({SIGTTOU}));
  // For a write that blocks all the same. Where there is no timer, poll(2) alone has to do.
  std::optional<Interrupter> interrupter;
  if (!is_regular_file(fd)) {
    interrupter.emplace();
    [[maybe_unused]] const Status started = interrupter->start(kMostBlocked, kMostBlocked);
  }
  PromptWrite done;
  while (done.bytes < text.size()) {
    if (!wait_for_room(fd, 0)) return {.bytes = done.bytes, .full = true};
    const ssize_t written = ::write(fd, text.data() + done.bytes, text.size() - done.bytes);
    if (written >= 0) {
      done.bytes += static_cast<std::size_t>(written);
      continue;
    }
    const int errnum = errno;
    done.full = errnum == EINTR || errnum == EAGAIN;
    done.errnum = done.full ? 0 : errnum;
    signals.failed(errnum);
    break;
  }
  return done;
}

}  // namespace gpu_gate
