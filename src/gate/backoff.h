#pragma once

#include <optional>

#include "base/clock.h"

namespace gpu_gate {

/// When to look again after a release whose memory the driver may still be freeing: after half the
/// time that has passed, at least 1 ms and at most 40 ms; every 250 ms once 5 s have passed; not at
/// all after 30 s.
class Backoff {
 public:
  void start(Clock::time_point now) { began_ = now; }
  void stop() { began_.reset(); }

  /// The time of the next look; nothing where the ordinary poll is soon enough.
  std::optional<Clock::time_point> next(Clock::time_point now) const;

 private:
  std::optional<Clock::time_point> began_;
};

}  // namespace gpu_gate
