#include "gate/backoff.h"

#include <algorithm>

#include "gate/timing.h"

namespace gpu_gate {

std::optional<Clock::time_point> Backoff::next(Clock::time_point now) const {
  if (!began_) return std::nullopt;
  const std::chrono::nanoseconds passed = now - *began_;
  if (passed >= timing::kSeldomFor) return std::nullopt;
  if (passed >= timing::kOftenFor) return now + timing::kSeldom;
  return now + std::clamp<std::chrono::nanoseconds>(passed / 2, timing::kSoonest, timing::kOften);
}

}  // namespace gpu_gate
