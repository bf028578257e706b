#pragma once

#include <sys/types.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "base/wait_set.h"
#include "gate/claims.h"
#include "policy/occupancy.h"

namespace gpu_gate {

/// What may free a device, to sleep on: the claims on it, and the processes of others.
class CardWatch {
 public:
  /// What ended during a sleep.
  struct Ended {
    bool claim = false;
    bool process = false;
  };

  /// Watches one of the live claims on each of these devices, all up to a number where any is a
  /// share and, inside a claim, one of that claim itself; and a few on other devices. However many
  /// claims there are, nobody can exhaust the descriptors of others. False if one has just ended.
  /// Errors: lock_file, system.
  Result<bool> watch_claims(const Claims& claims, const std::vector<Claim>& live,
                            const std::set<std::string>& devices, Ticket within);

  /// Watches the processes on unclaimed devices. False if one was met for the first time that
  /// cannot be watched: it has just ended, or it lives in another pid namespace.
  bool watch_processes(const Snapshot& snapshot, const std::vector<Occupancy>& occupancy);

  void add_to(WaitSet& set);

  /// What ended in the sleep on this set. It is not watched again, though the driver may go on
  /// listing a process for a while.
  Ended ended(const WaitSet& set);

 private:
  struct Watched {
    UniqueFd fd;
    short events = POLLIN;
    WaitSet::Id id = 0;  // in the last set
  };

  std::vector<Watched> claims_;
  std::map<pid_t, Watched> processes_;
  std::set<pid_t> unwatchable_;  // listed, but cannot be watched or have ended
};

}  // namespace gpu_gate
