#pragma once

#include <map>
#include <optional>
#include <vector>

#include "base/result.h"
#include "gate/line.h"
#include "policy/turn_order.h"

namespace gpu_gate {

/// Who stands in one line, whose places they are, and when those users had their last turns. Some
/// of them may have left by now. Kept from look to look: a place's owner does not change, no ticket
/// is given out twice, and whoever comes new has a higher one; so only those are asked for.
class Roster {
 public:
  /// Begins with a line that was read: all that live and have a ticket up to `known` are in it.
  /// Only their owners are asked for.
  void begin(const Line& line, const std::vector<Place>& places, Ticket known);

  /// Learns of those that have come, without the mutex. `counted`: the tickets that were counted
  /// before (ClaimMark), 0 if unknown. Errors: lock_file, system.
  Status read(const Line& line, const LineId& id, Ticket counted);

  /// Learns of all that have come. Under the mutex nobody comes meanwhile, and all that have come
  /// are counted (Counters). `places`: the line, where it was read in the same critical section.
  /// Errors: lock_file, system.
  Status catch_up(const MutexGuard& guard, const Line& line, const LineId& id,
                  const std::optional<std::vector<Place>>& places = {});

  /// It has left.
  void drop(Ticket ticket);
  /// Of those with a lower ticket, all have left that are not in this line.
  void drop_ahead(Ticket ticket, const std::vector<Place>& line);

  const std::vector<Queued>& places() const { return places_; }
  bool contains(Ticket ticket) const;
  /// Is it known up to which ticket all are among them? Then little is left to catch up with.
  bool is_complete() const { return known_ != 0; }
  const LastTurns& last_turns() const { return last_turns_; }

 private:
  void take_over(const Line& line, const std::vector<Place>& places);
  Status read_or_probe(const Line& line, const LineId& id, Ticket counted);
  void probe(const Line& line, const LineId& id, Ticket counted);
  void read_last_turns(const Line& line);
  std::vector<Queued>::const_iterator from(Ticket ticket) const;

  std::vector<Queued> places_;  // by ticket
  Ticket known_ = 0;            // whoever has a ticket up to this one, and lives, is among them
  LastTurns last_turns_;        // where there is more than one user
};

/// Records of waiters that have been read already.
using WaiterRecords = std::map<Ticket, WaiterRecord>;

/// Oneself in a line.
struct Oneself {
  Ticket ticket = 0;  // a newcomer's is higher than all
  uid_t uid = 0;
  Criteria criteria;
};

/// The ticket of a newcomer, for an order that has it last.
constexpr Ticket kNewcomer = ~Ticket{0};

/// A waiter whose turn it is to be decided on.
struct Turn {
  Place place;
  uid_t uid = 0;
  bool oneself = false;
  const WaiterRecord* record = nullptr;  // none of oneself; valid until the next one
};

/// Where a waiter stands.
struct Standing {
  std::size_t position = 1;       // in the order of turns, 1 for the first
  std::vector<uid_t> overtaking;  // users of waiters ahead that came later
  bool hold_less = true;          // all of those hold fewer devices than its own user

  friend bool operator==(const Standing&, const Standing&) = default;
};

/// A line in the order of turns, one after the other: only who is named is asked whether they live,
/// and only their records are read.
class Turns {
 public:
  /// `records`: what has been read already, and where what is read now is kept. All but the policy
  /// has to outlive this. `oneself` may be left out.
  Turns(const Line& line, Roster& roster, const LineId& id, const TurnRule& rule,
        const Oneself* oneself, WaiterRecords& records);

  /// The next one that lives and has a record; nothing at the end. Errors: lock_file, system.
  Result<std::optional<Turn>> next();

 private:
  Result<const WaiterRecord*> read(const Queued& queued);

  const Line& line_;
  Roster& roster_;
  LineId id_;
  const Oneself* oneself_;
  WaiterRecords& records_;
  TurnOrder order_;
};

/// Where `oneself` stands, who is in line. Only those near the front are asked whether they live
/// and what they want; the position of one far back is about right. Errors: lock_file, system.
Result<Standing> standing_of(const Oneself& oneself, const Line& line, const Roster& roster,
                             const LineId& id, const TurnRule& rule);

}  // namespace gpu_gate
