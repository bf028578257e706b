#pragma once

#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/wait_set.h"
#include "gate/claims.h"
#include "gate/line.h"
#include "gate/settling.h"
#include "gate/turns.h"
#include "policy/line_policy.h"
#include "policy/line_rule.h"

namespace gpu_gate {

/// What one look at the devices, the claims and the line found.
struct Look {
  Snapshot snapshot;
  Request request;
  LinePolicy policy;
  std::vector<Claim> claims;         // live ones
  TurnRule turns;                    // by these
  std::vector<Occupancy> occupancy;  // for each device, as the request sees it
  Decision decision;                 // for this waiter

  /// The UUIDs of all devices.
  std::set<std::string> devices() const;
  /// The devices that only need time (needs_time), by a decision of this look.
  std::set<std::string> awaited(const Decision& of) const;
  /// The line's rule for this state, with nobody served yet. This must outlive it.
  LineRule rule(std::set<std::string> settled) const;
};

/// Where a waiter stands, for its role.
struct Post {
  const Line& line;
  const Claims& claims;
  Place place;                    // its own
  std::chrono::nanoseconds poll;  // likewise
  Roster& roster;                 // of its line
  const Settling& settling;       // its count of how long devices have been contested

  /// It, as the order of turns sees it.
  Oneself oneself(const Criteria& criteria) const;
};

/// The waiters that were rung since it is their turn: a waiter that does not answer is passed over,
/// and it is time to look again.
class Calls {
 public:
  void forget();
  void call(const Line& line, const Place& place);
  /// When the first of them is passed over unless it answers.
  std::optional<Clock::time_point> answer_due() const { return answer_due_; }

  void add_to(WaitSet& set) const;

  /// After a sleep: is one of them passed over by now? Calls the roll where one seems to be
  /// stopped.
  bool woke(Clock::time_point now, const Line& line, const Place& own);

 private:
  std::vector<Place> called_;
  std::optional<Clock::time_point> roll_call_due_;
  std::optional<Clock::time_point> answer_due_;
};

/// When a waiter whose bell is in this state is passed over, if it is rung now at the latest.
Clock::time_point answer_due(const BellState& bell, Clock::time_point now);

/// The same for when it seems to be stopped (Line::roll_call).
Clock::time_point roll_call_due(const BellState& bell, Clock::time_point now);

}  // namespace gpu_gate
