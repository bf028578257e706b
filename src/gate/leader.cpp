#include "gate/leader.h"

#include <algorithm>
#include <utility>

#include "gate/timing.h"

namespace gpu_gate {
namespace {

/// Which of these are in use without anybody that the driver shows, or beyond what those have.
/// There a job has ended, and the driver is still freeing its memory (or it never will: the looks
/// become seldom).
std::set<std::string> draining(const Look& look, const std::set<std::string>& devices) {
  std::set<std::string> uuids;
  for (std::size_t i = 0; i < look.occupancy.size(); ++i) {
    const Device& device = look.snapshot.devices[i];
    // Of a shared one it may be the promises that leave no room.
    const bool unowned =
        (!look.occupancy[i].shared && occupants(device).empty()) || has_unowned_memory(device);
    if (unowned && devices.contains(device.uuid)) uuids.insert(device.uuid);
  }
  return uuids;
}

bool any_contested(const Decision& decision) {
  return std::any_of(decision.granted.begin(), decision.granted.end(),
                     [&](std::size_t device) { return decision.contested[device]; });
}

}  // namespace

Result<bool> Leader::looked(const Look& look, const Post& post, Calls& calls) {
  const Clock::time_point now = Clock::now();
  next_look_ = now + post.poll;
  told_next_ = false;
  std::set<std::string> awaited = look.awaited(look.decision);
  const Oneself oneself = post.oneself(look.request.criteria);
  awaited.merge(decide_for_others(look, post, calls, &oneself));
  if (!calls.answer_due()) tell_next(look, post, oneself);
  if (!watch_.watch_processes(look.snapshot, look.occupancy)) backoff_.start(now);
  // What ended before may still be on its way to be free. It counts once, or the looks after a ring
  // would never become seldom where a process is hidden.
  std::set<std::string> drains = draining(look, awaited);
  if (!std::includes(draining_.begin(), draining_.end(), drains.begin(), drains.end())) {
    backoff_.start(now);
  }
  draining_ = std::move(drains);
  if (awaited.empty()) backoff_.stop();
  if (const auto settled = post.settling.next(now)) next_look_ = std::min(next_look_, *settled);
  if (const auto soon = backoff_.next(now)) next_look_ = std::min(next_look_, *soon);
  const Result<bool> all_live =
      watch_.watch_claims(post.claims, look.claims, look.devices(), post.place.within);
  if (!all_live) return fail(all_live.error());
  return *all_live && !own_turn_;
}

void Leader::served(const Look& look, const Post& post, Calls& calls) {
  post.roster.drop(post.place.ticket);
  decide_for_others(look, post, calls, nullptr);
}

/// Decides for all others and rings those whose turn it is: only hints, so nothing is locked, and a
/// failure leaves it to them to find out. Those for whom nothing is left are not asked: in a long
/// line that would take longer than all else. `oneself`: null if it does not wait any more. Returns
/// the devices that the others wait for.
std::set<std::string> Leader::decide_for_others(const Look& look, const Post& post, Calls& calls,
                                                const Oneself* oneself) {
  std::set<std::string> awaited;
  own_turn_ = false;
  last_end_.reset();
  // As if the contested devices had settled: a waiter that would get one must know, to begin its
  // own count.
  LineRule rule = look.rule(look.devices());
  if (!rule.leaves_any()) return awaited;
  forget_those_gone(post.roster);
  const Ticket last = watch_last(post);
  Ticket hindmost = 0;
  Turns turns(post.line, post.roster, post.place.line(), look.turns, oneself, records_);
  std::map<Ticket, std::vector<std::size_t>> offers;
  while (rule.leaves_any()) {
    const Result<std::optional<Turn>> turn = turns.next();
    if (!turn) return awaited;
    if (!*turn) {
      if (hindmost >= last) last_end_.reset();  // nobody is behind it by turns either
      break;
    }
    const Place& place = (*turn)->place;
    hindmost = place.ticket;
    Waiting waiting{.ticket = place.ticket, .uid = (*turn)->uid, .request = &look.request};
    if ((*turn)->oneself) {
      const Decision own = rule.next(waiting);
      own_turn_ = !own.granted.empty() && !any_contested(own);
      continue;
    }
    const Result<bool> passed_over = post.line.is_passed_over(place);
    if (!passed_over) return awaited;
    waiting.request = &(*turn)->record->request;
    waiting.passed_over = *passed_over;
    const Decision decision = rule.next(waiting);
    awaited.merge(look.awaited(decision));
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
  offers_ = std::move(offers);
  return awaited;
}

/// Has the one that is next by turns, if it is another, sleep on the claims as well: it need not be
/// called when one ends, after a look of the leader's.
void Leader::tell_next(const Look& look, const Post& post, const Oneself& oneself) {
  const std::vector<Queued>& places = post.roster.places();
  const bool plain = std::all_of(places.begin(), places.end(),
                                 [&](const Queued& queued) { return queued.uid == oneself.uid; });
  if (plain && !oneself.criteria.nice) return;  // then the leader is
  Turns turns(post.line, post.roster, post.place.line(), look.turns, &oneself, records_);
  while (const Result<std::optional<Turn>> turn = turns.next()) {
    if (!*turn || (*turn)->oneself) return;
    const Result<bool> passed_over = post.line.is_passed_over((*turn)->place);
    if (passed_over && *passed_over) continue;
    told_next_ = passed_over && post.line.tell_next((*turn)->place);
    return;
  }
}

/// Watches the last in line, as it is now; returns its ticket. Nobody stands behind it to tell the
/// leader of its end, and in the order of turns it may be ahead of others.
Ticket Leader::watch_last(const Post& post) {
  const std::vector<Queued>& places = post.roster.places();
  for (auto last = places.rbegin(); last != places.rend(); ++last) {
    if (last->ticket <= post.place.ticket) break;
    Result<UniqueFd> end = post.line.watch(place_in(post.place.line(), last->ticket));
    if (!end || !*end) continue;
    last_end_ = std::move(*end);
    return last->ticket;
  }
  return 0;
}

/// A record is read once: a waiter that changes its own rings, and then all are read anew.
void Leader::forget_those_gone(const Roster& roster) {
  std::erase_if(records_, [&](const auto& entry) { return !roster.contains(entry.first); });
}

void Leader::rung() {
  records_.clear();
  offers_.clear();
}

void Leader::add_to(WaitSet& set) {
  watch_.add_to(set);
  if (last_end_) last_end_id_ = set.add(last_end_.get(), 0);
  set.until(next_look_);
}

bool Leader::woke(const WaitSet& set, Clock::time_point now) {
  const CardWatch::Ended ended = watch_.ended(set);
  if (ended.claim || ended.process) {
    backoff_.start(now);
    if (ended.claim && told_next_) pause_for(timing::kHeadStart);
    return true;
  }
  return now >= next_look_ || (last_end_ && set.fired(last_end_id_));
}

}  // namespace gpu_gate
