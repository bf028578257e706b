#include "base/wait_set.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <ctime>

namespace gpu_gate {

WaitSet::Id WaitSet::add(int fd, short events) {
  fds_.push_back({fd, events, 0});
  return fds_.size() - 1;
}

void WaitSet::until(Clock::time_point time) { until_ = until_ ? std::min(*until_, time) : time; }

Status WaitSet::sleep() {
  constexpr std::int64_t kNsPerSecond = 1'000'000'000;
  struct timespec wait{};
  if (until_) {
    const auto left = std::max<std::chrono::nanoseconds>(*until_ - Clock::now(), {});
    wait = {.tv_sec = left.count() / kNsPerSecond, .tv_nsec = left.count() % kNsPerSecond};
  }
  if (::ppoll(fds_.data(), static_cast<nfds_t>(fds_.size()), until_ ? &wait : nullptr, nullptr) >=
      0) {
    return {};
  }
  const int errnum = errno;
  for (struct pollfd& fd : fds_) fd.revents = 0;
  if (errnum == EINTR) return {};
  return fail(system_error(ErrorKind::system, "ppoll", "", errnum));
}

}  // namespace gpu_gate
