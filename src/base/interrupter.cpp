#include "base/interrupter.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace gpu_gate {
namespace {

struct timespec time_of(std::chrono::nanoseconds duration) {
  constexpr std::chrono::nanoseconds kLeast{1'000'000};  // nothing would stop the timer
  const auto ns = std::max(duration, kLeast).count();
  return {.tv_sec = ns / 1'000'000'000, .tv_nsec = ns % 1'000'000'000};
}

}  // namespace

Interrupter::Interrupter() {
  struct sigaction action{};
  action.sa_handler = [](int) {};  // without SA_RESTART: the call returns EINTR
  ::sigaction(SIGURG, &action, &before_);
  struct sigevent event{};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = SIGURG;
  event._sigev_un._tid = static_cast<pid_t>(::syscall(SYS_gettid));
  if (::timer_create(CLOCK_MONOTONIC, &event, &timer_) != 0) errnum_ = errno;
}

Interrupter::~Interrupter() {
  if (errnum_ == 0) ::timer_delete(timer_);
  ::sigaction(SIGURG, &before_, nullptr);
}

Status Interrupter::start(std::chrono::nanoseconds first, std::chrono::nanoseconds interval) {
  const struct itimerspec when{.it_interval = time_of(interval), .it_value = time_of(first)};
  int errnum = errnum_;
  if (errnum == 0 && ::timer_settime(timer_, 0, &when, nullptr) != 0) errnum = errno;
  if (errnum == 0) return {};
  return fail(system_error(ErrorKind::system, "timer_create", "", errnum));
}

}  // namespace gpu_gate
