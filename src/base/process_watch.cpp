#include "base/process_watch.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

namespace gpu_gate {
namespace {

UniqueFd every_second() {
  UniqueFd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  const struct itimerspec when{.it_interval = {.tv_sec = 1, .tv_nsec = 0},
                               .it_value = {.tv_sec = 1, .tv_nsec = 0}};
  if (timer && ::timerfd_settime(timer.get(), 0, &when, nullptr) != 0) timer.reset();
  return timer;
}

}  // namespace

ProcessWatch::ProcessWatch(pid_t pid, UniqueFd fd, int errnum)
    : pid_(pid), fd_(std::move(fd)), errnum_(errnum) {
  if (const auto identity = process_identity(pid)) start_ticks_ = identity->start_ticks;
}

Result<std::optional<ProcessWatch>> ProcessWatch::open(pid_t pid) {
  auto [fd, errnum] = open_pidfd(pid);
  if (errnum == EMFILE || errnum == ENFILE || errnum == ENOMEM) {
    return fail(system_error(ErrorKind::system, "pidfd_open", std::to_string(pid), errnum));
  }
  if (errnum == ESRCH) return std::nullopt;
  if (!fd) fd = every_second();
  if (!fd) return fail(system_error(ErrorKind::system, "timerfd_create", "", errno));
  ProcessWatch watch(pid, std::move(fd), errnum);
  if (!process_lives(pid, watch.start_ticks_)) return std::nullopt;
  return watch;
}

bool ProcessWatch::ended() const {
  if (errnum_ == 0) return true;  // a pidfd wakes for nothing else
  std::uint64_t expirations = 0;
  [[maybe_unused]] const ssize_t got = ::read(fd_.get(), &expirations, sizeof expirations);
  return !process_lives(pid_, start_ticks_);
}

}  // namespace gpu_gate
