#include "gate/settling.h"

#include <algorithm>

#include "gate/timing.h"

namespace gpu_gate {

void Settling::note(const std::set<std::string>& contested, Clock::time_point now) {
  std::erase_if(since_, [&](const auto& entry) { return !contested.contains(entry.first); });
  for (const std::string& uuid : contested) since_.try_emplace(uuid, now);
}

std::set<std::string> Settling::settled(Clock::time_point now) const {
  std::set<std::string> uuids;
  for (const auto& [uuid, since] : since_) {
    if (now - since >= timing::kSettle) uuids.insert(uuid);
  }
  return uuids;
}

std::optional<Clock::time_point> Settling::next(Clock::time_point now) const {
  std::optional<Clock::time_point> next;
  for (const auto& [uuid, since] : since_) {
    const Clock::time_point settles =
        std::max(since + timing::kSettle, now + timing::kBetweenSettleLooks);
    next = next ? std::min(*next, settles) : settles;
  }
  return next;
}

}  // namespace gpu_gate
