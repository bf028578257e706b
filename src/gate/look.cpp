#include "gate/look.h"

#include <unistd.h>

#include <algorithm>

#include "gate/timing.h"

namespace gpu_gate {

std::set<std::string> Look::devices() const {
  std::set<std::string> uuids;
  for (const Device& device : snapshot.devices) uuids.insert(device.uuid);
  return uuids;
}

std::set<std::string> Look::awaited(const Decision& of) const {
  std::set<std::string> uuids;
  for (std::size_t i = 0; i < of.fits.size(); ++i) {
    if (needs_time(of.fits[i])) uuids.insert(snapshot.devices[i].uuid);
  }
  return uuids;
}

LineRule Look::rule(std::set<std::string> settled) const {
  return LineRule(snapshot, occupancy, std::move(settled),
                  {.most = policy.max_per_user, .held = held});
}

Oneself Post::oneself(const Criteria& criteria) const {
  return {.ticket = place.ticket, .uid = ::geteuid(), .criteria = criteria};
}

void Calls::call(const Line& line, const Place& place) {
  const std::optional<BellState> bell = line.ring_bell(place);
  if (!bell) return;
  const Clock::time_point due = gpu_gate::answer_due(*bell, Clock::now());
  answer_due_ = answer_due_ ? std::min(*answer_due_, due) : due;
}

Clock::time_point answer_due(const BellState& bell, Clock::time_point now) {
  const std::chrono::nanoseconds age = bell.pending ? bell.age : std::chrono::nanoseconds(0);
  return now + std::max<std::chrono::nanoseconds>(timing::kAnswer - age, timing::kSoonest);
}

}  // namespace gpu_gate
