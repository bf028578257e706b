#pragma once

#include <poll.h>

#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace gpu_gate {

/// What a process sleeps on, once: descriptors and a time. The one place that calls ppoll(2).
class WaitSet {
 public:
  using Id = std::size_t;

  /// Wakes when one of these events, a hang-up or an error is there. -1 never wakes.
  Id add(int fd, short events);

  /// Wakes at this time at the latest; the earliest of several counts.
  void until(Clock::time_point time);

  /// Sleeps. A signal that is caught may wake it with nothing fired. Errors: system.
  Status sleep();

  /// Did that descriptor wake it?
  bool fired(Id id) const { return fds_[id].revents != 0; }

 private:
  std::vector<struct pollfd> fds_;
  std::optional<Clock::time_point> until_;
};

}  // namespace gpu_gate
