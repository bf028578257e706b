#include "gate/follower.h"

#include <algorithm>
#include <utility>

#include "gate/timing.h"

namespace gpu_gate {

void Follower::stand_behind(const Ahead& ahead) {
  leader_ = *ahead.leader;
  second_ = ahead.predecessor == ahead.leader;
  check_interval_ = timing::line_check_interval(ahead.length);
}

Result<bool> Follower::looked(const Look& look, const Post& post) {
  // What ends on a device is noticed by the leader, which has to know that somebody waits for it;
  // and one that can no longer count the time until a device has settled must be told when to begin
  // again.
  std::set<std::string> awaited = look.awaited(look.decision);
  const bool awaits_more =
      !std::includes(awaited_.begin(), awaited_.end(), awaited.begin(), awaited.end());
  const auto settle_look = post.settling.next(Clock::now());
  if (awaits_more || (settle_look_ && !settle_look)) post.line.ring_bell(leader_);
  awaited_ = std::move(awaited);
  settle_look_ = settle_look;
  devices_ = look.devices();
  next_ = false;
  check_leader(post);
  watch_ = CardWatch();
  if (!second_) return true;
  return watch_.watch_claims(post.claims, look.claims, devices_, post.place.within);
}

Result<bool> Follower::checked_line(const Post& post) {
  check_leader(post);
  return watch_claims(post);
}

Result<bool> Follower::is_next(const Post& post, Ticket counted) {
  next_ = true;
  // Whose the places are takes long to learn in a long line.
  if (Status known = post.roster.read(post.line, post.place.line(), counted); !known) {
    return fail(known.error());
  }
  return watch_claims(post);
}

Result<bool> Follower::watch_claims(const Post& post) {
  watch_ = CardWatch();
  if (!second_ && !next_) return true;
  const Result<ClaimScan> scan = post.claims.scan();
  if (!scan) return fail(scan.error());
  return watch_.watch_claims(post.claims, scan->live, devices_, post.place.within);
}

/// Makes sure that the leader is awake: rings it, unless somebody did so just now. If it does not
/// answer it is passed over, and another leads.
void Follower::check_leader(const Post& post) {
  const Line& line = post.line;
  const auto now = Clock::now();
  next_check_ = now + check_interval_;
  if (!poll_due_) ring_for_look(post, now);
  roll_call_due_.reset();
  const Result<std::optional<BellState>> state = line.bell_state(leader_);
  if (!state || !*state) return;
  const BellState& bell = **state;
  if (!bell.pending && bell.age < timing::kRungJustNow) return;
  if (!bell.pending) line.ring_bell(leader_);
  next_check_ = std::min(next_check_, answer_due(bell, now));
  roll_call_due_ = roll_call_due(bell, now);
}

/// The leader looks for all, at its own --poll or a shorter one behind it: rings it, unless
/// somebody has in the last four fifths of this one.
void Follower::ring_for_look(const Post& post, Clock::time_point now) {
  const auto poll = timing::poll_for_others(post.poll);
  if (!poll) return;
  if (poll_due_) {
    const Result<std::optional<BellState>> bell = post.line.bell_state(leader_);
    if (bell && *bell && (*bell)->age >= *poll * 4 / 5) post.line.ring_bell(leader_);
  }
  poll_due_ = now + *poll;
}

/// A leader stopped at a release must not have longer than the five seconds.
void Follower::ring_for_release(const Line& line, Clock::time_point now) {
  const std::optional<BellState> bell = line.ring_bell(leader_);
  next_check_ = std::min(next_check_, now + timing::kAnswer);
  if (bell) roll_call_due_ = roll_call_due(*bell, now);
}

void Follower::add_to(WaitSet& set) {
  watch_.add_to(set);
  set.until(next_check_);
  if (roll_call_due_) set.until(*roll_call_due_);
  if (poll_due_) set.until(*poll_due_);
  if (settle_look_) set.until(*settle_look_);
}

Follower::Wake Follower::woke(const WaitSet& set, Clock::time_point now, const Post& post) {
  if (watch_.ended(set).claim) {
    if (next_) return Wake::look;
    ring_for_release(post.line, now);
  }
  if (roll_call_due_ && now >= *roll_call_due_) {
    roll_call_due_.reset();
    post.line.roll_call(leader_, post.place);
  }
  if (poll_due_ && now >= *poll_due_) ring_for_look(post, now);
  if (settle_look_ && now >= *settle_look_) return Wake::look;
  return now >= next_check_ ? Wake::check_line : Wake::sleep_on;
}

}  // namespace gpu_gate
