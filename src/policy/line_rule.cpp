#include "policy/line_rule.h"

#include <algorithm>
#include <utility>

#include "policy/choose.h"
#include "policy/together.h"

namespace gpu_gate {
namespace {

/// The positions of the fits of which this is true.
template <class Predicate>
std::vector<std::size_t> those(const std::vector<Fit>& fits, Predicate is) {
  std::vector<std::size_t> positions;
  for (std::size_t i = 0; i < fits.size(); ++i) {
    if (is(fits[i])) positions.push_back(i);
  }
  return positions;
}

/// Could so many devices be had of these if they only had time? Not while one is needed that is
/// lost: that may last for days.
bool needs_only_time(const std::vector<Fit>& fits, int count, const Snapshot& snapshot) {
  if (count == kEveryDevice) return true;
  const auto hopeful =
      those(fits, [](Fit fit) { return could_ever(fit) && fit != Fit::unhealthy; });
  return most_together(hopeful, count, snapshot) >= static_cast<std::size_t>(count);
}

/// Which devices are of no use to a request for so many: those of which there are too few to be had
/// together, while of others there are enough.
std::vector<bool> of_no_use(const std::vector<Fit>& fits, int count, const Snapshot& snapshot) {
  std::vector<bool> list(fits.size(), false);
  const std::vector<std::size_t> possible = those(fits, could_ever);
  if (most_together(possible, count, snapshot) < static_cast<std::size_t>(count)) return list;
  for (const auto& group : together(possible, count, snapshot)) {
    for (const std::size_t i : group) list[i] = group.size() < static_cast<std::size_t>(count);
  }
  return list;
}

}  // namespace

LineRule::LineRule(const Snapshot& snapshot, std::vector<Occupancy> occupancy,
                   std::set<std::string> settled, UserLimit limit)
    : snapshot_(snapshot),
      claimed_(std::move(occupancy)),
      taken_(claimed_),
      settled_(std::move(settled)),
      limit_(std::move(limit)),
      kept_for_(snapshot.devices.size(), 0),
      wanted_ahead_(snapshot.devices.size(), false) {}

Decision LineRule::next(const Waiting& waiter) {
  const Request& request = *waiter.request;
  const auto count = static_cast<std::size_t>(request.criteria.count);
  const std::vector<Device>& devices = snapshot_.devices;
  const std::vector<bool> over = over_limit(waiter);
  Decision decision;
  decision.contested.resize(devices.size(), false);
  std::vector<std::size_t> candidates;
  for (std::size_t i = 0; i < devices.size(); ++i) {
    Fit f = fit(devices[i], request, claimed_[i]);
    if (f == Fit::usable && over[i]) f = Fit::over_limit;
    const bool anything_ahead = f == Fit::usable && taken_[i] != claimed_[i];
    if (anything_ahead && fit(devices[i], request, taken_[i]) != Fit::usable) f = Fit::reserved;
    if (f == Fit::usable && wanted_ahead_[i]) {
      decision.contested[i] = true;
      if (!settled_.contains(devices[i].uuid)) f = Fit::settling;
    }
    if (f == Fit::usable) candidates.push_back(i);
    decision.fits.push_back(f);
  }
  if (waiter.passed_over) return decision;
  if (most_together(candidates, request.criteria.count, snapshot_) < count) {
    std::vector<Fit> fits = decision.fits;
    for (std::size_t i = 0; i < fits.size(); ++i) {
      if (over[i]) fits[i] = Fit::not_allowed;  // it waits for jobs of its own user
    }
    keep_for(waiter, fits, std::move(candidates));
    return decision;
  }
  decision.granted = choose(
      candidates, {.snapshot = snapshot_, .occupancy = taken_, .criteria = request.criteria});
  take(waiter, decision.granted, request.criteria);
  for (const std::size_t i : decision.granted) {
    limit_.held[waiter.uid] += amount_on(devices[i], request.criteria, limit_.sizes, snapshot_);
  }
  return decision;
}

/// For each device, whether the waiter would hold more than one user may if it got such ones.
std::vector<bool> LineRule::over_limit(const Waiting& waiter) const {
  const Criteria& criteria = waiter.request->criteria;
  std::vector<bool> over(snapshot_.devices.size(), false);
  if (!limit_.most || waiter.request->within != 0 || criteria.count == kEveryDevice) return over;
  const auto held = limit_.held.find(waiter.uid);
  const Amount before = held == limit_.held.end() ? 0 : held->second;
  for (std::size_t i = 0; i < over.size(); ++i) {
    const Amount more = amount_on(snapshot_.devices[i], criteria, limit_.sizes, snapshot_);
    over[i] = before + more * criteria.count > kWholeGpu * *limit_.most;
  }
  return over;
}

void LineRule::take(const Waiting& waiter, const std::vector<std::size_t>& devices,
                    const Criteria& criteria) {
  for (std::size_t i : devices) {
    gpu_gate::take(snapshot_.devices[i], taken_[i], criteria);
    if (taken_[i].whole) kept_for_[i] = waiter.ticket;
  }
}

/// Is it a shared device that is too full for the request, with claims or with what those ahead
/// take?
bool LineRule::lacks_room(std::size_t device, Fit fit) const {
  return claimed_[device].shared &&
         (fit == Fit::claimed || fit == Fit::room_low || fit == Fit::reserved);
}

/// All that is left of so many shared devices that are too full for it, those with most room.
void LineRule::keep_room(const Waiting& waiter, const std::vector<Fit>& fits, std::size_t lacking) {
  std::vector<std::size_t> shared;
  for (std::size_t i = 0; i < fits.size(); ++i) {
    if (lacks_room(i, fits[i]) && !taken_[i].whole) shared.push_back(i);
  }
  const auto rank = [&](std::size_t i) {
    return std::make_pair(-room_mib(snapshot_.devices[i], taken_[i]), i);
  };
  std::sort(shared.begin(), shared.end(),
            [&](std::size_t a, std::size_t b) { return rank(a) < rank(b); });
  shared.resize(std::min(shared.size(), lacking));
  take(waiter, shared, {});
}

/// One that cannot be served keeps what it could use, and what it could use in principle. But where
/// a lost device would have to return first, nothing stands idle for it longer than what it could
/// only use in principle.
void LineRule::keep_for(const Waiting& waiter, const std::vector<Fit>& fits,
                        std::vector<std::size_t> candidates) {
  const Criteria& criteria = waiter.request->criteria;
  const bool keeps = needs_only_time(fits, criteria.count, snapshot_);
  const std::vector<bool> useless = of_no_use(fits, criteria.count, snapshot_);
  std::erase_if(candidates, [&](std::size_t i) { return useless[i]; });
  if (keeps) {
    take(waiter, candidates, criteria);
    keep_room(waiter, fits,
              static_cast<std::size_t>(criteria.count) -
                  most_together(candidates, criteria.count, snapshot_));
  }
  for (std::size_t i = 0; i < wanted_ahead_.size(); ++i) {
    if (!useless[i] && could_ever(fits[i]) && (!keeps || fits[i] != Fit::usable) &&
        !lacks_room(i, fits[i])) {
      wanted_ahead_[i] = true;
    }
  }
}

bool LineRule::leaves_any() const {
  for (std::size_t i = 0; i < taken_.size(); ++i) {
    const Device& device = snapshot_.devices[i];
    if (taken_[i].whole || device.health != Health::ok) continue;
    if (!taken_[i].shared || room_mib(device, taken_[i]) > 0) return true;
  }
  return false;
}

bool LineRule::leaves_any_for(const Request& request) const {
  for (std::size_t i = 0; i < taken_.size(); ++i) {
    if (fit(snapshot_.devices[i], request, taken_[i]) == Fit::usable) return true;
  }
  return false;
}

}  // namespace gpu_gate
