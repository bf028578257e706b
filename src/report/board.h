#pragma once

#include <vector>

#include "base/result.h"
#include "gate/claims.h"
#include "gate/line.h"
#include "gpu/device.h"
#include "policy/fit.h"
#include "policy/line_policy.h"
#include "policy/turn_order.h"
#include "report/usage.h"

namespace gpu_gate {

// Everything that status shows, as plain values: the devices, their claims, the waiters.

struct BoardClaim {
  Ticket ticket = 0;
  Claimant claimant;
  std::vector<std::string> devices;  // UUIDs, of the whole claim
  bool inside = false;               // another one of the same row
  std::int64_t used_mib = 0;         // of this device, by its visible processes; told of shares
  bool idle = false;                 // made 10 minutes ago or more, and now no process is its job's
};

struct BoardProcess {
  DeviceProcess described;
  bool claimed = false;  // works for a claim on that device
  std::optional<Claim> strays =
      std::nullopt;  // works for this claim, which does not have that device
};

struct BoardRow {
  Device device;
  std::vector<BoardClaim> claims;  // the oldest first, each followed by those made inside it
  std::vector<BoardProcess> processes;
  std::int64_t room_mib = 0;  // for shares
  Ticket kept_for = 0;   // the waiter that gets it now, or keeps it from those behind; 0: nobody
  bool freeing = false;  // nobody's, but the driver has yet to free the memory of a job just ended
};

struct BoardWaiter {
  Place place;
  std::string user;
  WaiterRecord record;
  bool stopped = false;   // its process is, or it does not answer its bell: it is passed over
  bool its_turn = false;  // it has only to take them
  // For each row, as the rule sees it; nothing where that is not known.
  std::optional<std::vector<Fit>> fits = std::nullopt;
};

/// A user who holds devices, also such as are not listed.
struct BoardHolder {
  uid_t uid = 0;
  std::string user;
  Amount held = 0;
};

struct Board {
  std::vector<BoardRow> rows;
  Vendor vendor = Vendor::nvidia;    // of the devices
  std::vector<BoardWaiter> waiters;  // for these in the order of turns, then those in other lines
  std::vector<BoardHolder> holders;
  CardSizes sizes = {};  // by which holders and requests are measured
  LinePolicy policy = {};
  bool devices_read = true;       // else the rows are those that are claimed, by UUID alone
  bool driver_kept_open = false;  // by the first of them (GpuSource::needs_open)
};

/// Puts it together, also where the devices could not be read. Reads /proc; may ask a directory
/// service for names. Errors: lock_dir, system.
Result<Board> make_board(const Result<Snapshot>& snapshot, const LockDir& dir);

}  // namespace gpu_gate
