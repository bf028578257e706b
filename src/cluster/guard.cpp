#include "cluster/guard.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <utility>

#include "base/clock.h"
#include "base/descriptors.h"
#include "base/process.h"
#include "base/signals.h"
#include "cluster/child.h"

namespace gpu_gate {
namespace {

// What is written to it: whether srun may get a signal, and that it has ended.
constexpr char kMayNot = 'n';
constexpr char kMay = 'y';
constexpr char kEnded = 'e';

constexpr const char* kGuardName = "srun-guard";
constexpr std::chrono::milliseconds kStepTime{10000};  // that a step may take to end by itself
constexpr std::chrono::milliseconds kLookInterval{50};
constexpr std::chrono::milliseconds kSignalInterval{300};  // srun loses a signal now and then
constexpr std::chrono::milliseconds kSignalsFor{60000};    // then a node or the controller is away

/// Blocks until the other end of the pipe is closed; returns the last that was written.
char last_word(int pipe) {
  char word = kMayNot;
  for (;;) {
    char next = 0;
    const ssize_t got = ::read(pipe, &next, 1);
    if (got == 0 || (got < 0 && errno != EINTR)) return word;
    if (got > 0) word = next;
  }
}

/// Sends srun that signal (0: none) every `interval` until it has ended, or for `time`. True: it
/// has.
bool end_within(pid_t srun, int signal, std::chrono::milliseconds time,
                std::chrono::milliseconds interval) {
  for (auto waited = std::chrono::milliseconds(0); waited < time; waited += interval) {
    if (::kill(srun, signal) != 0) return true;
    pause_for(interval);
  }
  return ::kill(srun, 0) != 0;
}

/// In the child.
[[noreturn]] void guard(int pipe, pid_t srun) {
  const char word = last_word(pipe);
  const bool ended =
      word == kEnded || (word == kMayNot && end_within(srun, 0, kStepTime, kLookInterval));
  if (!ended) end_within(srun, SIGTERM, kSignalsFor, kSignalInterval);
  ::_exit(0);
}

}  // namespace

Result<Guard> Guard::over(pid_t srun) {
  Result<Pipe> pipe = open_pipe(OwnEnd::write);
  if (!pipe) return fail(pipe.error());
  const pid_t child = ::fork();
  if (child < 0) return fail(system_error(ErrorKind::system, "fork", "", errno));
  if (child == 0) {
    ::setsid();
    // Whoever kills all that is called gpu-gate (pkill -9 -f, killall -9) means no guard.
    ::prctl(PR_SET_NAME, kGuardName);
    show_command(kGuardName);
    const sigset_t all = catchable_signals();
    ::sigprocmask(SIG_BLOCK, &all, nullptr);
    close_others({pipe->read_end.get()});
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::close(fd);
    guard(pipe->read_end.get(), srun);
  }
  return Guard(child, std::move(pipe->write_end));
}

Guard::~Guard() {
  if (!pipe_) return;
  [[maybe_unused]] const ssize_t told = ::write(pipe_.get(), &kEnded, 1);
  pipe_.reset();
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

void Guard::allow_signal(bool allowed) {
  if (std::exchange(allowed_, allowed) == allowed) return;
  const char word = allowed ? kMay : kMayNot;
  [[maybe_unused]] const ssize_t told = ::write(pipe_.get(), &word, 1);
}

}  // namespace gpu_gate
