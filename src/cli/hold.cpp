#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "base/descriptors.h"
#include "base/process_watch.h"
#include "base/signals.h"
#include "base/wait_set.h"
#include "cli/acquire.h"
#include "cli/cli.h"
#include "cli/console.h"
#include "cli/eval_line.h"
#include "cli/exit_code.h"
#include "cli/keep_history.h"
#include "cli/notices.h"
#include "job/beside.h"

namespace gpu_gate {
namespace {

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

/// The descriptors that the claim needs.
std::vector<int> needed(const Granted& granted, const Lifeline& lifeline) {
  std::vector<int> fds{lifeline.fd};
  for (const UniqueFd& held : granted.held) fds.push_back(held.get());
  return fds;
}

/// Blocks until the owner is gone, the time is over, or a signal that ends a wait comes; returns
/// the signal, or 0. Errors: system.
Result<int> hold(const Lifeline& lifeline, std::optional<std::chrono::nanoseconds> at_most) {
  const sigset_t ending = ending_signals();
  const SignalBlock block(ending);
  const UniqueFd signals(::signalfd(-1, &ending, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!signals) return fail(system_error(ErrorKind::system, "signalfd", "", errno));
  const auto end = Clock::now() + at_most.value_or(std::chrono::nanoseconds(0));
  while (!at_most || Clock::now() < end) {
    WaitSet set;
    const WaitSet::Id signal = set.add(signals.get(), POLLIN);
    const WaitSet::Id owner = set.add(lifeline.fd, lifeline.events);
    if (at_most) set.until(end);
    if (Status slept = set.sleep(); !slept) return fail(slept.error());
    struct signalfd_siginfo info{};
    if (set.fired(signal) && ::read(signals.get(), &info, sizeof info) == sizeof info) {
      return static_cast<int>(info.ssi_signo);
    }
    if (set.fired(owner) && lifeline.owner_is_gone()) return 0;
  }
  return 0;
}

/// With --export, until the result is printed.
using FailureLine = std::unique_ptr<FailureLineOnSignal>;

FailureLine failure_line_on_signal(const Options& options) {
  return options.export_line ? std::make_unique<FailureLineOnSignal>() : nullptr;
}

/// A signal that comes meanwhile ends the process afterwards, when it is no failure any more.
Status print_result(const Options& options, const Granted& granted, FailureLine line) {
  const SignalBlock block(ending_signals());
  Status printed = print_devices(options, granted);
  line.reset();
  return printed;
}

/// On a terminal: says what is held, and what ends it.
void tell_of_hold(const Options& options, const Granted& granted, Holding holding) {
  if (options.quiet || ::isatty(STDERR_FILENO) != 1) return;
  holding.at_most = options.hold_for;
  say(holding_text(granted, holding));
}

/// Does Ctrl-C end this process?
bool is_interruptible() {
  const sigset_t ending = ending_signals();
  return ::sigismember(&ending, SIGINT) == 1 && stderr_in_foreground() && stderr_has_ctrl_c();
}

/// Blocks until nobody has the other end of the pipe open.
void await_end(int pipe) {
  char byte = 0;
  while (::read(pipe, &byte, 1) < 0 && errno == EINTR) {
  }
}

/// With --pid: a child keeps the claim; this process prints and is done, as soon as the child has
/// let go of what the caller has open.
Status hold_in_background(const Options& options, const Granted& granted, const Lifeline& lifeline,
                          FailureLine failure_line) {
  std::array<int, 2> ends{-1, -1};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return fail(system_error(ErrorKind::system, "pipe", "", errno));
  }
  const UniqueFd child_has_closed(ends[0]);
  UniqueFd open_in_child(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) {
    return fail(ErrorKind::system, std::string("fork: ") + std::strerror(errno) +
                                       "; there are too many processes, or no memory is left");
  }
  if (child == 0) {
    detach(needed(granted, lifeline));
    // Should even the sleep fail, there is nobody left to tell; the claim ends with the process.
    const Result<int> end = hold(lifeline, options.hold_for);
    ::_exit(end ? 0 : exit_code(end.error().kind));
  }
  open_in_child.reset();
  await_end(child_has_closed.get());
  Status printed = print_result(options, granted, std::move(failure_line));
  if (!printed) {
    ::kill(child, SIGTERM);
    return printed;
  }
  tell_of_hold(options, granted, {.holder = child, .pid = options.pid});
  return {};
}

/// The owner to record. A process may live and be hidden (hidepid): then its pid is all there is.
Owner owner_to_record(pid_t pid) {
  if (std::optional<Owner> owner = other_process(pid)) return *std::move(owner);
  Owner owner = this_process({});
  owner.pid = pid;
  owner.start_ticks = 0;
  return owner;
}

Status hold_for_process(const Options& options) {
  FailureLine failure_line = failure_line_on_signal(options);
  const pid_t pid = *options.pid;
  const Result<std::optional<ProcessWatch>> watch = ProcessWatch::open(pid);
  if (!watch) return fail(watch.error());
  if (!*watch) {
    return fail(ErrorKind::usage, "hold: --pid: there is no process " + std::to_string(pid));
  }
  if ((*watch)->errnum() != 0 && !options.quiet) {
    say("no pidfd here (pidfd_open: " + std::string(std::strerror((*watch)->errnum())) +
        "): the end of process " + std::to_string(pid) + " is noticed within a second");
  }
  const Lifeline lifeline{
      .fd = (*watch)->fd(), .events = POLLIN, .ended = [&] { return (*watch)->ended(); }};
  const Owner owner = owner_to_record(pid);
  const Result<Granted> granted = acquire(options, {.owner = owner, .lifeline = lifeline});
  if (!granted) return fail(granted.error());
  keep_history(*granted, {.owner = owner, .note = options.note});
  return hold_in_background(options, *granted, lifeline, std::move(failure_line));
}

Status hold_in_foreground(const Options& options) {
  if (!options.hold_for && !stdin_is_lifeline()) {
    return fail(ErrorKind::usage,
                "hold: until when? Give --pid PID, --for T (45m, 2h), or a pipe as standard input");
  }
  FailureLine failure_line = failure_line_on_signal(options);
  // The process that started it wants the devices. Nothing is read while it waits: of a terminal,
  // what the user types is for others then.
  const Lifeline waiting{.fd = options.hold_for ? -1 : STDIN_FILENO};
  const Lifeline holding{.fd = waiting.fd, .events = POLLIN, .ended = stdin_ended};
  const Owner owner = other_process(::getppid()).value_or(this_process({"gpu-gate", "hold"}));
  const Result<Granted> granted = acquire(options, {.owner = owner, .lifeline = waiting});
  if (!granted) return fail(granted.error());
  keep_history(*granted, {.owner = owner, .note = options.note});
  close_others(needed(*granted, holding));
  Status printed = print_result(options, *granted, std::move(failure_line));
  if (!printed) return printed;
  tell_of_hold(options, *granted,
               {.holder = ::getpid(),
                .keyboard = ::isatty(STDIN_FILENO) == 1,
                .interruptible = is_interruptible()});
  const Result<int> signal = hold(holding, options.hold_for);
  if (!signal) return fail(signal.error());
  if (*signal != 0) die_of(*signal);
  return {};
}

/// What a line for eval asks of the other options.
Status check_export(const Options& options) {
  if (!options.export_line) return {};
  if (options.json) {
    return fail(ErrorKind::usage, "hold: write --export or --json, not both");
  }
  if (!options.pid && ::isatty(STDIN_FILENO) == 1) {
    return fail(ErrorKind::usage,
                "hold: --export: the shell would wait for ever; write "
                "eval \"$(gpu-gate hold --export --pid $$)\"");
  }
  return {};
}

}  // namespace

Status hold_command(const Options& options) {
  if (Status checked = check_export(options); !checked) return checked;
  return options.pid ? hold_for_process(options) : hold_in_foreground(options);
}

}  // namespace gpu_gate
