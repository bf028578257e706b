#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "gate/fifo.h"
#include "gate/lock_dir.h"
#include "gate/mutex.h"
#include "gate/record.h"

namespace gpu_gate {

/// A place in a line, as its file names tell it. There is one line for the machine (within 0) and
/// one inside each claim whose job asks for cards again.
struct Place {
  Ticket ticket = 0;
  Ticket within = 0;
};

/// A live claim on one card.
struct Claim {
  Ticket ticket = 0;
  std::string uuid;
  uid_t owner = 0;
  bool by_process = false;  // its FIFO was removed; it is held while its process lives
};

/// What to sleep on until a claim on a card may have ended: poll it with `events`.
struct ClaimWatch {
  UniqueFd fd;
  short events = 0;  // 0 for a FIFO (POLLHUP), POLLIN for a pidfd
};

/// A waiter's own place in line; leaves it when destroyed, by letting go of the FIFO.
struct Standing {
  Place place;
  UniqueFd held;
  UniqueFd bell;
};

/// Who is ahead of a place.
struct Ahead {
  std::optional<Place> first;  // the first that lives and answers its bell: it looks at the cards
  std::optional<Place> predecessor;  // the nearest that lives
  UniqueFd watch;                    // its read end: POLLHUP when it has left
  std::size_t length = 0;            // of the line up to the place, dead ones included
};

/// What is written in a lock directory: the line, the claims and their records. Nothing read from
/// it is trusted: names and records that do not parse are skipped, and who owns what is told by the
/// owner of the file. Functions that take a MutexGuard change the directory, the others may be
/// called at any time. No function blocks. Errors: exit code 5.
class Ledger {
 public:
  explicit Ledger(const LockDir& dir) : dir_(dir) {}

  /// All live claims. With a guard, removes those dead ones that this user may remove.
  Result<std::vector<Claim>> claims(const MutexGuard* guard) const;
  std::optional<ClaimRecord> claim_record(Ticket ticket) const;
  /// A watch on a claim; nothing if it has ended meanwhile.
  Result<std::optional<ClaimWatch>> watch(const Claim& claim) const;

  /// The places of one line in order, dead ones among them.
  Result<std::vector<Place>> line(Ticket within) const;
  /// The same for all lines.
  Result<std::vector<Place>> all_lines() const;
  Result<bool> is_live(const Place& place) const;
  std::optional<WaiterRecord> waiter_record(const Place& place) const;
  /// Does it not answer its bell, or has none that can be rung?
  Result<bool> is_passed_over(const Place& place) const;

  /// Who is ahead of `place` (ticket 0: of a newcomer). With a guard, removes those dead
  /// places that this user may remove: at the front and, for a newcomer, in the lines inside
  /// claims.
  Result<Ahead> ahead_of(const Place& place, const MutexGuard* guard) const;

  /// Stands last in the line. ErrorKind::replaced: the directory is being removed.
  Result<Standing> join(const MutexGuard& guard, const WaiterRecord& record) const;
  /// Replaces the record of one's own place.
  Status rewrite(const Place& place, const WaiterRecord& record) const;
  /// Removes one's own place. Needs no mutex: to everybody else it is as if its owner had died.
  void leave(const Place& place) const;

  struct Made {
    Ticket ticket = 0;
    std::vector<UniqueFd> held;  // close-on-exec; the claim lasts as long as any copy is open
  };
  /// Makes a claim on the record's devices, all or none. Errors: exit code 5, nothing claimed.
  Result<Made> claim(const MutexGuard& guard, const ClaimRecord& record) const;

  std::optional<BellState> ring_bell(const Place& place, Ring what) const;
  Result<std::optional<BellState>> bell_state(const Place& place) const;

 private:
  Result<Ticket> next_ticket(const MutexGuard& guard, int dir) const;
  void remove_claim(const std::string& fifo, Ticket ticket) const;
  /// Removes a place that is dead, if this user may. Under the mutex only.
  void clear_dead(const Place& place) const;

  const LockDir& dir_;
};

/// A waiter that has not answered its bell for so long is passed over until it does.
constexpr std::chrono::seconds kAnswerTime{5};

}  // namespace gpu_gate
