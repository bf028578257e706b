#include "gate/leader.h"

#include <algorithm>
#include <utility>

namespace gpu_gate {
namespace {

/// Which of these are in use without anybody that the driver shows. There a job has ended, and the
/// driver is still freeing its memory (or it never will: the looks become seldom).
std::set<std::string> draining(const Snapshot& snapshot, const std::set<std::string>& devices) {
  std::set<std::string> uuids;
  for (const Device& device : snapshot.devices) {
    if (devices.contains(device.uuid) && occupants(device).empty()) uuids.insert(device.uuid);
  }
  return uuids;
}

/// Is there a device that somebody behind could be granted at all?
bool any_free(const Look& look) {
  for (std::size_t i = 0; i < look.snapshot.devices.size(); ++i) {
    if (!look.occupancy[i].whole && look.snapshot.devices[i].health == Health::ok) return true;
  }
  return false;
}

bool any_contested(const Decision& decision) {
  return std::any_of(decision.granted.begin(), decision.granted.end(),
                     [&](std::size_t device) { return decision.contested[device]; });
}

}  // namespace

Result<bool> Leader::looked(const Look& look, const Post& post, Calls& calls,
                            std::chrono::nanoseconds poll) {
  const Clock::time_point now = Clock::now();
  next_look_ = now + poll;
  std::set<std::string> awaited = look.awaited(look.decision);
  awaited.merge(decide_for_others(look, post, calls));
  if (!watch_.watch_processes(look.snapshot, look.occupancy)) backoff_.start(now);
  // What ended before may still be on its way to be free. It counts once, or the looks after a ring
  // would never become seldom where a process is hidden.
  std::set<std::string> drains = draining(look.snapshot, awaited);
  if (!std::includes(draining_.begin(), draining_.end(), drains.begin(), drains.end())) {
    backoff_.start(now);
  }
  draining_ = std::move(drains);
  if (awaited.empty()) backoff_.stop();
  if (const auto soon = backoff_.next(now)) next_look_ = std::min(next_look_, *soon);
  return watch_.watch_claims(post.claims, look.claims, look.devices(), post.place.within);
}

/// Decides for those behind and rings those whose turn it is: only hints, so nothing is locked, and
/// a failure leaves it to them to find out. Returns the devices that they wait for.
std::set<std::string> Leader::decide_for_others(const Look& look, const Post& post, Calls& calls) {
  std::set<std::string> awaited;
  if (!any_free(look)) return awaited;
  const Result<std::vector<Place>> places = post.line.places(post.place.within);
  if (!places) return awaited;
  // As if the contested devices had settled: a waiter that would get one must know, to begin its
  // own count.
  LineRule rule(look.snapshot, look.occupancy, look.devices());
  rule.next({.request = &look.request});
  std::map<Ticket, WaiterRecord> records;
  std::map<Ticket, std::vector<std::size_t>> offers;
  for (const Place& place : *places) {
    if (place.ticket <= post.place.ticket) continue;
    std::optional<WaiterRecord> waiter = record(post, place);
    if (!waiter) continue;
    const Result<bool> passed_over = post.line.is_passed_over(place);
    if (!passed_over) return awaited;
    const Decision decision = rule.next({.request = &waiter->request, .passed_over = *passed_over});
    awaited.merge(look.awaited(decision));
    records.emplace(place.ticket, std::move(*waiter));
    if (decision.granted.empty()) continue;
    if (!any_contested(decision)) {
      calls.call(post.line, place);
      continue;
    }
    const auto offered = offers_.find(place.ticket);
    if (offered == offers_.end() || offered->second != decision.granted) {
      post.line.ring_bell(place);
    }
    offers[place.ticket] = decision.granted;
  }
  records_ = std::move(records);
  offers_ = std::move(offers);
  return awaited;
}

/// The record of a waiter behind; nothing where it has left. A record is read once: a waiter that
/// changes its own rings, and then all are read anew.
std::optional<WaiterRecord> Leader::record(const Post& post, const Place& place) {
  const Result<std::optional<uid_t>> holder = post.line.holder(place);
  if (!holder || !*holder) return std::nullopt;
  const auto known = records_.extract(place.ticket);
  if (!known.empty()) return std::optional(std::move(known.mapped()));
  return post.line.record(place, **holder);
}

void Leader::rung() {
  records_.clear();
  offers_.clear();
}

void Leader::add_to(WaitSet& set) {
  watch_.add_to(set);
  set.until(next_look_);
}

bool Leader::woke(const WaitSet& set, Clock::time_point now) {
  const CardWatch::Ended ended = watch_.ended(set);
  if (ended.claim || ended.process) {
    backoff_.start(now);
    return true;
  }
  return now >= next_look_;
}

}  // namespace gpu_gate
