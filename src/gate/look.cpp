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
                  {.most = policy.max_per_user, .held = turns.held, .sizes = turns.sizes});
}

Oneself Post::oneself(const Criteria& criteria) const {
  return {.ticket = place.ticket, .uid = ::geteuid(), .criteria = criteria};
}

void Calls::forget() {
  called_.clear();
  roll_call_due_.reset();
  answer_due_.reset();
}

void Calls::call(const Line& line, const Place& place) {
  const std::optional<BellState> bell = line.ring_bell(place);
  if (!bell) return;
  called_.push_back(place);
  const auto now = Clock::now();
  const auto earlier = [](std::optional<Clock::time_point>& due, Clock::time_point time) {
    due = due ? std::min(*due, time) : time;
  };
  earlier(roll_call_due_, gpu_gate::roll_call_due(*bell, now));
  earlier(answer_due_, gpu_gate::answer_due(*bell, now));
}

void Calls::add_to(WaitSet& set) const {
  if (roll_call_due_) set.until(*roll_call_due_);
  if (answer_due_) set.until(*answer_due_);
}

bool Calls::woke(Clock::time_point now, const Line& line, const Place& own) {
  if (roll_call_due_ && now >= *roll_call_due_) {
    roll_call_due_.reset();
    for (const Place& silent : called_) line.roll_call(silent, own);
  }
  return answer_due_ && now >= *answer_due_;
}

namespace {

/// So long after the ring that is pending, or that comes now; never in the past.
Clock::time_point after_ring(const BellState& bell, Clock::time_point now,
                             std::chrono::nanoseconds time) {
  const std::chrono::nanoseconds age = bell.pending ? bell.age : std::chrono::nanoseconds(0);
  return now + std::max<std::chrono::nanoseconds>(time - age, timing::kSoonest);
}

}  // namespace

Clock::time_point answer_due(const BellState& bell, Clock::time_point now) {
  return after_ring(bell, now, bell.answer_time());
}

Clock::time_point roll_call_due(const BellState& bell, Clock::time_point now) {
  return after_ring(bell, now, timing::kNoAnswer);
}

}  // namespace gpu_gate
