#pragma once

#include <set>
#include <string>
#include <vector>

#include "gpu/device.h"
#include "policy/request.h"
#include "policy/selection.h"

namespace gpu_gate {

/// Whether a GPU will do for a request, and the first reason why not.
enum class Fit {
  usable,
  // Never on this machine:
  not_allowed,  // in Request::barred
  mig,          // MIG is on
  too_small,    // less memory in all than asked for
  // Not as it is now:
  unhealthy,    // Device::health says why
  claimed,      // a live claim is on it
  occupied,     // a compute process of others is on it
  memory_held,  // memory is in use that belongs to no visible process
  memory_low,   // less memory free than asked for
  busy,         // utilisation above what was asked for
  // Somebody ahead in line:
  reserved,  // has it kept for a request that cannot be served yet
  settling,  // could use it but not as it is now, and not for long enough yet
};

/// Could the GPU ever do for a request that it does not fit now?
inline bool could_ever(Fit fit) {
  return fit != Fit::not_allowed && fit != Fit::mig && fit != Fit::too_small;
}

/// Memory that may be in use on a card that still counts as nobody's, besides what the driver
/// reserves and graphics clients hold: contexts of monitoring tools and of a display server.
constexpr std::int64_t kIdleMemoryMib = 512;

/// One waiter as the decision sees it.
struct InLine {
  const Request* request = nullptr;
  bool passed_over = false;  // it was called and did not answer: neither served nor reserved for
};

/// What the decision says to one waiter.
struct Turn {
  std::vector<Fit> fits;             // for each device of the snapshot
  std::vector<std::size_t> granted;  // positions in the snapshot, ascending; empty: not yet
  std::vector<bool> contested;       // usable, but somebody ahead waits for it to become so for him
};

/// Does this GPU do for this request, with nobody else in line? `claimed`: a live claim is on it
/// that counts for this request.
Fit fit(const Device& device, const Request& request, bool claimed);

/// How many of the GPUs that are not barred (an entry for each) could ever do for the request.
int could_ever_count(const Snapshot& snapshot, const std::vector<Barred>& barred,
                     const Request& request);

/// The line's rule (README, "The line"), applied to one waiter after the other in order. Each takes
/// the best cards that it can use (most free memory, then lowest utilisation, then lowest index),
/// or, if there are not enough, keeps those it could use from all behind it. Pure: a function of
/// what it is given.
class Granting {
 public:
  /// `claimed` has an entry for each device. `settled` has the UUIDs of those cards that the caller
  /// has seen unusable for the waiters ahead for long enough; they are no longer kept for them. The
  /// snapshot must outlive this.
  Granting(const Snapshot& snapshot, std::vector<bool> claimed, std::set<std::string> settled);

  /// What the next waiter in line gets.
  Turn next(const InLine& waiter);

  /// Is there still a card for this request that nobody so far has taken or reserved?
  bool leaves_any_for(const Request& request) const;

 private:
  const std::vector<Device>& devices_;
  std::vector<bool> claimed_;
  std::set<std::string> settled_;
  std::vector<bool> taken_;         // granted to or reserved for one ahead
  std::vector<bool> wanted_ahead_;  // one ahead could use it, but not as it is now
};

}  // namespace gpu_gate
