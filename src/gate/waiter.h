#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "gate/claims.h"
#include "gate/lock_dir.h"
#include "gate/record.h"
#include "gate/turns.h"
#include "gpu/source.h"
#include "policy/fit.h"

namespace gpu_gate {

/// What a look that granted nothing found, to tell the user.
struct WaitReport {
  const Snapshot& snapshot;
  const Request& request;
  const std::vector<Fit>& fits;             // for each device of the snapshot
  const std::vector<Occupancy>& occupancy;  // likewise
  const std::vector<Claim>& claims;         // live ones
  const Claims& records;                    // behind the claims
};

/// Is told how the wait goes. Called without the mutex; may block only at the waiter's own cost.
class WaitObserver {
 public:
  WaitObserver() = default;
  WaitObserver(const WaitObserver&) = delete;
  WaitObserver& operator=(const WaitObserver&) = delete;
  virtual ~WaitObserver() = default;

  /// The lock directory that it will wait in; again where that one was replaced.
  virtual void opened(const LockDir& dir) = 0;
  /// After each look that did not end the wait.
  virtual void looked(const WaitReport& report) = 0;
  /// Where it stands in line. Asked for only if wants_position().
  virtual void positioned(const Standing& standing) = 0;
  virtual bool wants_position() const = 0;
  /// Called about this often while waiting, if it is not zero.
  virtual std::chrono::milliseconds tick() const = 0;
  virtual void ticked() = 0;
  /// The driver cannot be read any more; the wait goes on, and the looks to come try again.
  virtual void driver_failed(const Error& error) = 0;
  /// It can be read again.
  virtual void driver_returned() = 0;
  /// The mutex has been held by another process for seconds.
  virtual void mutex_delayed(std::optional<pid_t> holder) = 0;
};

/// A descriptor whose event ends the wait, since its owner is gone.
struct Lifeline {
  int fd = -1;       // -1: none
  short events = 0;  // 0 for a hang-up, POLLIN for a pidfd
  /// Asked at such an event; without it the event alone says so.
  std::function<bool()> ended = nullptr;

  bool owner_is_gone() const { return !ended || ended(); }
};

struct WaitOptions {
  std::chrono::nanoseconds poll = std::chrono::seconds(5);
  std::optional<std::chrono::nanoseconds> timeout = std::nullopt;  // 0: one try
  bool keep_devices = true;   // false: only wait, claim nothing
  Owner owner = {};           // for the records
  bool with_process = false;  // the claim also lasts as long as the owner's process lives
  Lifeline lifeline = {};
  std::optional<Ticket> within =
      0;  // the claim that it asks in, 0 for none; empty: to be found out
  std::optional<std::int64_t> within_share_mib =
      std::nullopt;  // what that is of each device, where it has no record to say so

  bool one_try() const { return timeout && timeout->count() == 0; }
};

/// What a job has, inside which something is asked for.
struct OuterClaim {
  std::vector<std::string> devices;       // UUIDs
  std::optional<std::int64_t> share_mib;  // of each; nothing: all of it
};

/// What a request is made for.
struct Surroundings {
  const Snapshot& snapshot;
  const LinePolicy& policy;
  const OuterClaim* claim;  // that the asking job holds; null outside of one
};

/// Makes the request for a machine that looks like this. An Error ends the wait.
using MakeRequest = std::function<Result<Request>(const Surroundings&)>;

// How a wait ends.
struct Granted {
  std::vector<Device> devices;            // as they were when granted, ascending index
  bool indices_hold = true;               // gpu/visible_devices.h, at that moment
  std::vector<Amount> parts;              // which part of its card each of them is
  Ticket claim = 0;                       // 0 if nothing is claimed
  Ticket within = 0;                      // the claim that it is inside of; 0: none
  std::string lock_dir;                   // where it is
  std::optional<std::int64_t> share_mib;  // of each; nothing: all of it
  std::vector<UniqueFd> held;             // of the claim
  bool waited = false;                    // it had to stand in line
  std::chrono::nanoseconds duration{0};
};
struct Signalled {
  int signal = 0;  // the process should die of it
};
struct Abandoned {};  // the owner of the lifeline is gone
struct TimedOut {};

using WaitEnd = std::variant<Granted, Signalled, Abandoned, TimedOut>;

/// Waits until the request is granted: the whole of docs/protocol.md as one waiter lives it;
/// model/line.pml proves that nobody is overtaken and no wake-up is lost. Blocks as long as that
/// takes. A source that fails ends it in the first look only (or in one try). Errors: those of the
/// source and of `make_request`; lock_dir, system.
Result<WaitEnd> wait_for_gpus(const LockDirPaths& paths, GpuSource& source,
                              const MakeRequest& make_request, const WaitOptions& options,
                              WaitObserver& observer);

}  // namespace gpu_gate
