#include "policy/line_rule.h"

#include <algorithm>

#include "policy/choose.h"

namespace gpu_gate {
namespace {

/// Could so many devices be had of these if they only had time? Not while one is needed that is
/// lost: that may last for days.
bool needs_only_time(const std::vector<Fit>& fits, int count) {
  if (count == kEveryDevice) return true;
  const auto hopeful = std::count_if(
      fits.begin(), fits.end(), [](Fit fit) { return could_ever(fit) && fit != Fit::unhealthy; });
  return hopeful >= count;
}

}  // namespace

LineRule::LineRule(const Snapshot& snapshot, std::vector<Occupancy> occupancy,
                   std::set<std::string> settled, UserLimit limit)
    : snapshot_(snapshot),
      occupancy_(std::move(occupancy)),
      settled_(std::move(settled)),
      limit_(std::move(limit)),
      taken_(snapshot.devices.size(), false),
      kept_for_(snapshot.devices.size(), 0),
      wanted_ahead_(snapshot.devices.size(), false) {}

Decision LineRule::next(const Waiting& waiter) {
  const Request& request = *waiter.request;
  const auto count = static_cast<std::size_t>(request.criteria.count);
  const std::vector<Device>& devices = snapshot_.devices;
  const bool over_limit = is_over_limit(waiter);
  Decision decision;
  decision.contested.resize(devices.size(), false);
  std::vector<std::size_t> candidates;
  for (std::size_t i = 0; i < devices.size(); ++i) {
    Fit f = fit(devices[i], request, occupancy_[i]);
    if (f == Fit::usable && over_limit) f = Fit::over_limit;
    if (f == Fit::usable && taken_[i]) f = Fit::reserved;
    if (f == Fit::usable && wanted_ahead_[i]) {
      decision.contested[i] = true;
      if (!settled_.contains(devices[i].uuid)) f = Fit::settling;
    }
    if (f == Fit::usable) candidates.push_back(i);
    decision.fits.push_back(f);
  }
  if (waiter.passed_over || over_limit) return decision;
  if (candidates.size() < count) {
    keep_for(waiter, decision, candidates);
    return decision;
  }
  decision.granted = choose(std::move(candidates), count, snapshot_);
  take(waiter, decision.granted);
  limit_.held[waiter.uid] += kWholeGpu * request.criteria.count;
  return decision;
}

/// Has it to wait for jobs of its own user?
bool LineRule::is_over_limit(const Waiting& waiter) const {
  const int count = waiter.request->criteria.count;
  if (!limit_.most || waiter.request->within != 0 || count == kEveryDevice) return false;
  const auto held = limit_.held.find(waiter.uid);
  const Amount before = held == limit_.held.end() ? 0 : held->second;
  return before + kWholeGpu * count > kWholeGpu * *limit_.most;
}

void LineRule::take(const Waiting& waiter, const std::vector<std::size_t>& devices) {
  for (std::size_t i : devices) {
    taken_[i] = true;
    kept_for_[i] = waiter.ticket;
  }
}

/// One that cannot be served keeps what it could use, and what it could use in principle. But where
/// a lost device would have to return first, nothing stands idle for it longer than what it could
/// only use in principle.
void LineRule::keep_for(const Waiting& waiter, const Decision& decision,
                        const std::vector<std::size_t>& candidates) {
  const bool keeps = needs_only_time(decision.fits, waiter.request->criteria.count);
  if (keeps) take(waiter, candidates);
  for (std::size_t i = 0; i < wanted_ahead_.size(); ++i) {
    if (could_ever(decision.fits[i]) && (!keeps || decision.fits[i] != Fit::usable)) {
      wanted_ahead_[i] = true;
    }
  }
}

bool LineRule::leaves_any() const {
  for (std::size_t i = 0; i < taken_.size(); ++i) {
    if (!taken_[i] && !occupancy_[i].whole && snapshot_.devices[i].health == Health::ok)
      return true;
  }
  return false;
}

bool LineRule::leaves_any_for(const Request& request) const {
  for (std::size_t i = 0; i < taken_.size(); ++i) {
    if (!taken_[i] && fit(snapshot_.devices[i], request, occupancy_[i]) == Fit::usable) return true;
  }
  return false;
}

}  // namespace gpu_gate
