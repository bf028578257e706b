#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/signals.h"
#include "cli/acquire.h"
#include "cli/cli.h"
#include "cli/console.h"

namespace gpu_gate {
namespace {

/// What the claim depends on besides the time.
struct Lifeline {
  int fd = -1;
  bool is_stdin = false;
};

/// Can standard input end because its owner did? A pipe, a socket or a terminal can.
bool stdin_is_lifeline() {
  struct stat info{};
  return ::fstat(STDIN_FILENO, &info) == 0 &&
         (S_ISFIFO(info.st_mode) || S_ISSOCK(info.st_mode) || S_ISCHR(info.st_mode)) &&
         (!S_ISCHR(info.st_mode) || ::isatty(STDIN_FILENO) == 1);
}

/// Has standard input ended? Reads away what is there.
bool stdin_ended() {
  std::array<char, 4096> bytes{};
  const ssize_t got = ::read(STDIN_FILENO, bytes.data(), bytes.size());
  return got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN);
}

/// Blocks until the lifeline ends, the time is over, or a signal that ends a wait comes; returns
/// the signal, or 0.
int hold(const Lifeline& lifeline, std::optional<std::chrono::nanoseconds> at_most) {
  const sigset_t ending = ending_signals();
  const SignalBlock block(ending);
  const UniqueFd signals(::signalfd(-1, &ending, SFD_NONBLOCK | SFD_CLOEXEC));
  const auto end = Clock::now() + at_most.value_or(std::chrono::nanoseconds(0));
  for (;;) {
    std::array<struct pollfd, 2> fds{
        {{lifeline.fd, POLLIN, 0}, {signals.get(), POLLIN, 0}}};  // poll skips -1
    struct timespec wait{};
    if (at_most) {
      const std::chrono::nanoseconds left = end - Clock::now();
      if (left.count() <= 0) return 0;
      wait = {left.count() / 1000000000, left.count() % 1000000000};
    }
    if (::ppoll(fds.data(), fds.size(), at_most ? &wait : nullptr, nullptr) < 0) {
      if (errno == EINTR) continue;
      return 0;
    }
    struct signalfd_siginfo info{};
    if (fds[1].revents != 0 && ::read(signals.get(), &info, sizeof info) == sizeof info) {
      return static_cast<int>(info.ssi_signo);
    }
    if (fds[0].revents != 0 && (!lifeline.is_stdin || stdin_ended())) return 0;
  }
}

/// Goes on as a process of its own session, without the caller's terminal and standard descriptors.
void detach() {
  ::setsid();
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    // Closed where /dev/null cannot be opened: who reads the result waits for its end.
    if (::dup2(null.get(), fd) < 0) ::close(fd);
  }
  [[maybe_unused]] const int moved = ::chdir("/");  // so that no file system is kept busy
}

/// With --pid: a child keeps the claim; this process prints and is done.
Status hold_in_background(const Options& options, const WaitEnd& end, const Lifeline& lifeline) {
  const pid_t child = ::fork();
  if (child < 0) return fail(system_error(ErrorKind::system, "fork", "", errno));
  if (child == 0) {
    detach();
    hold(lifeline, options.hold_for);
    ::_exit(0);
  }
  Status printed = print_devices(options, end);
  if (!printed) ::kill(child, SIGTERM);
  return printed;
}

}  // namespace

Status hold_command(const Options& options) {
  Purpose purpose;
  Lifeline lifeline;
  UniqueFd pidfd;
  if (options.pid) {
    pidfd = UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, *options.pid, 0)));
    if (!pidfd && errno == ENOSYS) {
      return fail(ErrorKind::usage, "hold: --pid: this kernel is too old for it (Linux 5.3)");
    }
    const std::optional<Owner> owner = other_process(*options.pid);
    if (!pidfd || !owner) {
      return fail(ErrorKind::usage,
                  "hold: --pid: there is no process " + std::to_string(*options.pid));
    }
    purpose.owner = *owner;
    lifeline.fd = pidfd.get();
    purpose.lifeline_events = POLLIN;
  } else {
    // Whoever started it is who wants the cards.
    purpose.owner = other_process(::getppid()).value_or(this_process({"gpu-gate", "hold"}));
    if (!options.hold_for && !stdin_is_lifeline()) {
      return fail(ErrorKind::usage,
                  "hold: for whom? Give --pid PID, --for TIME, or a pipe as its standard input");
    }
    if (!options.hold_for) lifeline = Lifeline{STDIN_FILENO, true};
  }
  purpose.lifeline = lifeline.fd;
  const Result<WaitEnd> end = acquire(options, purpose);
  if (!end) return fail(end.error());
  if (options.pid) return hold_in_background(options, *end, lifeline);
  if (Status printed = print_devices(options, *end); !printed) return printed;
  if (const int signal = hold(lifeline, options.hold_for); signal != 0) die_of(signal);
  return {};
}

}  // namespace gpu_gate
