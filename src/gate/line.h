#pragma once

#include <optional>
#include <set>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "gate/fifo.h"
#include "gate/lock_dir.h"
#include "gate/mutex.h"
#include "gate/names.h"
#include "gate/record.h"
#include "policy/turn_order.h"

namespace gpu_gate {

/// A waiter's own place in line. Letting go of `held` is leaving it.
struct OwnPlace {
  Place place;
  UniqueFd held;
  UniqueFd bell;
};

/// What a scan of a line found ahead of a place.
struct Ahead {
  std::optional<Place> leader;       // the first that lives and answers its bell
  std::optional<Place> predecessor;  // the nearest that lives
  UniqueFd predecessor_end;          // POLLHUP when the predecessor has left
  std::size_t length = 0;            // of the line up to the place, dead ones included
  std::vector<Place> dead;           // at the front and, for a newcomer, in lines inside claims
  Ticket last_ticket = 0;            // the highest in any name
  std::vector<Place> line;           // all of it, in order, without those found to be dead
};

/// The lines in a lock directory (LineId). Nothing read from it is trusted: names and records that
/// do not parse are skipped, and a place belongs to the owner of its FIFO. Functions that take a
/// MutexGuard change the directory, the others may be called at any time. No function blocks.
/// Errors: lock_file, system.
class Line {
 public:
  explicit Line(const LockDir& dir) : dir_(dir) {}

  /// The places of one line in order, dead ones among them.
  Result<std::vector<Place>> places(const LineId& line) const;
  /// The same for all lines.
  Result<std::vector<Place>> all_places() const;

  /// The user of the waiter at a place; nothing where it has left.
  Result<std::optional<uid_t>> holder(const Place& place) const;

  /// What hangs up (POLLHUP) when the waiter at a place leaves; no descriptor where it has left.
  Result<UniqueFd> watch(const Place& place) const;

  /// The record of a place, as far as `holder` wrote it.
  std::optional<WaiterRecord> record(const Place& place, uid_t holder) const;

  /// Does it not answer its bell, or have none that can be rung?
  Result<bool> is_passed_over(const Place& place) const;

  /// Who is ahead of `place` (ticket 0: of a newcomer). Changes nothing.
  Result<Ahead> ahead_of(const Place& place) const;
  /// The same by what an earlier scan found, since nobody comes to stand ahead later; `last_ticket`
  /// is not told. Nothing where so many have left since that a scan is less work.
  Result<std::optional<Ahead>> ahead_of(const Place& place, const std::vector<Place>& line) const;

  /// Removes the dead places that a scan found, as far as this user may.
  void clear(const MutexGuard& guard, const Ahead& ahead) const;

  /// Stands last in the line. `last_ticket` is the highest in any name, by a scan in the same
  /// critical section. ErrorKind::replaced: the directory is being removed.
  Result<OwnPlace> join(MutexGuard& guard, Ticket last_ticket, const WaiterRecord& record) const;

  /// Whose place this is, alive or not; nothing where there is none.
  std::optional<uid_t> owner(const Place& place) const;

  /// The last turns of these users, as far as they are noted (MutexGuard::note_turn).
  LastTurns last_turns(const std::set<uid_t>& users) const;

  /// Replaces the record of one's own place.
  Status rewrite(const Place& place, const WaiterRecord& record) const;

  /// Removes one's own place. Needs no mutex: to everybody else it is as if its owner had died.
  void leave(const Place& place) const;

  /// Asks all in the line but these two whether they are awake, unless `silent` has answered or is
  /// in the driver, or somebody has asked since it was rung. Never fails: it only shortens what
  /// comes anyway.
  void roll_call(const Place& silent, const Place& own) const;

  /// Rings a waiter; see ring() in fifo.h.
  std::optional<BellState> ring_bell(const Place& place) const;
  Result<std::optional<BellState>> bell_state(const Place& place) const;

  /// Tells a waiter that it is next; see tell_next() in fifo.h.
  bool tell_next(const Place& place) const;

 private:
  struct Predecessor {
    std::optional<Place> place;
    UniqueFd end;  // POLLHUP when it has left
  };
  struct Front {
    std::optional<Place> leader;
    std::vector<Place> dead;  // before it
  };
  Result<Ahead> ahead_in(std::vector<Place> line, std::size_t length,
                         Predecessor predecessor) const;
  Result<std::optional<Predecessor>> find_predecessor(std::span<const Place> places,
                                                      std::size_t most_dead) const;
  Result<Front> find_front(std::span<const Place> places) const;
  Result<OwnPlace> make_place(const Place& place, const WaiterRecord& record) const;

  const LockDir& dir_;
};

}  // namespace gpu_gate
