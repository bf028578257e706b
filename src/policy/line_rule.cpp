#include "policy/line_rule.h"

#include "policy/choose.h"

namespace gpu_gate {

LineRule::LineRule(const Snapshot& snapshot, std::vector<Occupancy> occupancy,
                   std::set<std::string> settled)
    : snapshot_(snapshot),
      occupancy_(std::move(occupancy)),
      settled_(std::move(settled)),
      taken_(snapshot.devices.size(), false),
      wanted_ahead_(snapshot.devices.size(), false) {}

Decision LineRule::next(const Waiting& waiter) {
  const Request& request = *waiter.request;
  const auto count = static_cast<std::size_t>(request.criteria.count);
  const std::vector<Device>& devices = snapshot_.devices;
  Decision decision;
  decision.contested.resize(devices.size(), false);
  std::vector<std::size_t> candidates;
  for (std::size_t i = 0; i < devices.size(); ++i) {
    Fit f = fit(devices[i], request, occupancy_[i]);
    if (f == Fit::usable && taken_[i]) f = Fit::reserved;
    if (f == Fit::usable && wanted_ahead_[i]) {
      decision.contested[i] = true;
      if (!settled_.contains(devices[i].uuid)) f = Fit::settling;
    }
    if (f == Fit::usable) candidates.push_back(i);
    decision.fits.push_back(f);
  }
  if (waiter.passed_over) return decision;
  if (candidates.size() < count) {
    keep_for(decision, candidates);
    return decision;
  }
  decision.granted = choose(std::move(candidates), count, snapshot_);
  for (std::size_t i : decision.granted) taken_[i] = true;
  return decision;
}

/// One that cannot be served keeps what it could use, and what it could use in principle.
void LineRule::keep_for(const Decision& decision, const std::vector<std::size_t>& candidates) {
  for (std::size_t i : candidates) taken_[i] = true;
  for (std::size_t i = 0; i < wanted_ahead_.size(); ++i) {
    if (decision.fits[i] != Fit::usable && could_ever(decision.fits[i])) {
      wanted_ahead_[i] = true;
    }
  }
}

bool LineRule::leaves_any_for(const Request& request) const {
  for (std::size_t i = 0; i < taken_.size(); ++i) {
    if (!taken_[i] && fit(snapshot_.devices[i], request, occupancy_[i]) == Fit::usable) return true;
  }
  return false;
}

}  // namespace gpu_gate
