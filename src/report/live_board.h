#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "base/wait_set.h"
#include "gate/card_watch.h"
#include "gpu/source.h"
#include "report/board.h"

namespace gpu_gate {

/// Takes the numbers of a new reading into the board: memory, utilisation. False, and nothing is
/// changed, where more is new than those: other devices, another health, other processes. Pure.
bool update_devices(Board& board, const Snapshot& snapshot);

/// The board as time goes on, for less than a hundredth of a core. Claims and line are read only
/// where something of them may have changed, and every few seconds, since in a long line that costs
/// more than all else; the devices at each look, but less often where their driver takes long for
/// it (12 ms of CPU time beside an H200, nearly all of it to open and close). It stands in no line,
/// makes nothing, and has the driver open only as it looks.
class LiveBoard {
 public:
  LiveBoard(LockDirPaths paths, GpuSource& source);

  /// The first look. Errors: as those of status; gpu_state and no_driver leave a board to show.
  Status start();

  /// A look. What fails from now on is told by trouble(), and what was seen last stays.
  void look();

  /// What could be read last.
  const Board& board() const { return board_; }
  const LockDir& dir() const { return *dir_; }

  /// What cannot be read at the moment: of the GPUs, of the lock directory.
  const std::optional<Error>& driver_trouble() const { return driver_trouble_; }
  const std::optional<Error>& dir_trouble() const { return dir_trouble_; }

  /// What a look is due at, as for a waiter: the end of a claim, of a process on a device, of one
  /// that waits; what is new in the directory, which it looks at several times a second.
  void add_to(WaitSet& set);

  /// After a sleep on that set: is a look due?
  bool woke(const WaitSet& set);

 private:
  /// What changes in the lock directory where somebody comes or leaves.
  struct Marks {
    struct timespec root{}, queue{}, claims{};
  };
  static bool same(const Marks& a, const Marks& b);
  Marks marks() const;

  Result<Snapshot> read_devices();
  bool dir_is_another() const;
  Status read_all(const Result<Snapshot>& snapshot);
  void watch(const Result<Snapshot>& snapshot);

  LockDirPaths paths_;
  GpuSource& source_;
  std::optional<LockDir> dir_;
  Board board_;
  std::optional<Snapshot> last_;  // that was read
  std::optional<Error> driver_trouble_;
  std::optional<Error> dir_trouble_;
  bool stale_ = true;             // claims and line are to be read
  Clock::time_point not_before_;  // but no sooner
  Clock::time_point renew_at_;    // and no later
  Clock::time_point devices_not_before_;
  Marks marks_;
  CardWatch cards_;
  struct Waiting {
    UniqueFd end;
    WaitSet::Id id = 0;  // in the last set
  };
  std::vector<Waiting> waiting_;
};

}  // namespace gpu_gate
