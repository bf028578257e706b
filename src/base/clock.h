#pragma once

#include <chrono>
#include <ctime>

namespace gpu_gate {

/// The clock of every deadline and interval: it does not jump.
using Clock = std::chrono::steady_clock;

/// Blocks for less than a second, or until a signal is handled.
inline void pause_for(std::chrono::nanoseconds time) {
  const struct timespec pause{.tv_sec = 0, .tv_nsec = time.count()};
  ::nanosleep(&pause, nullptr);
}

}  // namespace gpu_gate
