#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "gate/ledger.h"
#include "gate/lock_dir.h"
#include "gpu/source.h"
#include "policy/grant.h"

namespace gpu_gate {

/// What a waiter knows after a look at the cards, for whoever tells the user.
struct Outlook {
  const Snapshot& snapshot;
  const Request& request;
  const std::vector<Fit>& fits;      // for each device of the snapshot
  const std::vector<Claim>& claims;  // live ones
  const Ledger& ledger;              // for the records behind the claims
};

/// Is told how the wait goes. Called without the mutex; may block only at the waiter's own cost.
class WaitObserver {
 public:
  WaitObserver() = default;
  WaitObserver(const WaitObserver&) = delete;
  WaitObserver& operator=(const WaitObserver&) = delete;
  virtual ~WaitObserver() = default;

  /// After each look that did not end the wait.
  virtual void looked(const Outlook& outlook) = 0;
  /// The place in line, 1 for the first. Asked for only if wants_place().
  virtual void placed(std::size_t place) = 0;
  virtual bool wants_place() const = 0;
  /// Called about this often while waiting, if it is not zero.
  virtual std::chrono::milliseconds tick() const = 0;
  virtual void ticked() = 0;
  /// The mutex has been held by somebody else for seconds.
  virtual void mutex_delayed(std::optional<pid_t> holder) = 0;
};

struct WaitOptions {
  std::chrono::nanoseconds poll = std::chrono::seconds(5);
  std::optional<std::chrono::nanoseconds> timeout;  // 0: one try
  bool claim = true;                                // false: only wait, hold nothing
  Owner owner;                                      // whom to record
  int lifeline = -1;                                // a hang-up on it ends the wait; -1: none
  short lifeline_events = 0;                        // or these events (POLLIN for a pidfd)
  Ticket within = 0;                                // $GPU_GATE_CLAIM, 0 if none
};

/// Makes the request for a machine that looks like this. `claim_devices`: the UUIDs of the claim
/// that the asking job holds, null outside of one. An Error ends the wait.
using MakeRequest =
    std::function<Result<Request>(const Snapshot&, const std::vector<std::string>* claim_devices)>;

/// How a wait ended: with cards, by a signal that the caller should die of, or abandoned.
struct WaitEnd {
  int signal = 0;
  bool abandoned = false;       // by its lifeline
  std::vector<Device> devices;  // as they were when granted, ascending index
  Ticket claim = 0;             // 0 if nothing is claimed
  std::vector<UniqueFd> held;   // of the claim
  bool waited = false;          // it had to stand in line
  std::chrono::nanoseconds duration{0};
};

/// Waits until the request is granted: the whole of docs/protocol.md as one waiter lives
/// it; model/line.pml proves that nobody is overtaken and no wake-up is lost.
/// Errors: those of the source (4), of the lock directory (5), of `make_request`, and 124 at the
/// time-out.
Result<WaitEnd> wait_for_gpus(const LockDirPlaces& places, GpuSource& source,
                              const MakeRequest& make_request, const WaitOptions& options,
                              WaitObserver& observer);

}  // namespace gpu_gate
