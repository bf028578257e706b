#include "base/prompt_write.h"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <ctime>

#include "base/signals.h"

namespace gpu_gate {
namespace {

/// Interrupts a blocking write(2) of this thread every few milliseconds. Where the timer cannot be
/// made, poll(2) alone has to do. Its signal is one that no program sends and that is ignored by
/// default: a tick that comes late does no harm.
class Interrupter {
 public:
  Interrupter() {
    struct sigaction action{};
    action.sa_handler = [](int) {};  // without SA_RESTART: the write ends
    ::sigaction(kTick, &action, &before_);
    struct sigevent event{};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = kTick;
    event._sigev_un._tid = static_cast<pid_t>(::syscall(SYS_gettid));
    made_ = ::timer_create(CLOCK_MONOTONIC, &event, &timer_) == 0;
    if (made_) {
      const struct timespec interval{.tv_sec = 0, .tv_nsec = 10'000'000};
      // Again and again: a tick just before the write begins would be missed.
      const struct itimerspec when{.it_interval = interval, .it_value = interval};
      ::timer_settime(timer_, 0, &when, nullptr);
    }
  }
  Interrupter(const Interrupter&) = delete;
  Interrupter& operator=(const Interrupter&) = delete;
  ~Interrupter() {
    if (made_) ::timer_delete(timer_);
    ::sigaction(kTick, &before_, nullptr);
  }

  static constexpr int kTick = SIGURG;

 private:
  timer_t timer_{};
  bool made_ = false;
  struct sigaction before_{};
};

sigset_t signals_of(std::initializer_list<int> numbers) {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int number : numbers) ::sigaddset(&set, number);
  return set;
}

}  // namespace

bool wait_for_room(int stream, int milliseconds) {
  struct pollfd room{.fd = stream, .events = POLLOUT, .revents = 0};
  return ::poll(&room, 1, milliseconds) > 0;
}

PromptWrite write_promptly(int fd, std::string_view text) {
  const WriteSignals signals;
  const SignalBlock not_stopped(signals_of({SIGTTOU}));
  const SignalsThrough through(signals_of({Interrupter::kTick}));
  const Interrupter interrupter;
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
    signals.failed(errnum);
    break;
  }
  return done;
}

}  // namespace gpu_gate
