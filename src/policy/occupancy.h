#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "gpu/device.h"
#include "policy/claim.h"
#include "policy/criteria.h"

namespace gpu_gate {

/// What is taken of one device, as a request sees it.
struct Occupancy {
  bool whole = false;             // all of it
  bool shared = false;            // parts of it
  std::int64_t promised_mib = 0;  // to these, and what is in use beside them
  std::optional<std::int64_t> outer_share_mib =
      std::nullopt;  // all there is, where it asks inside a share

  friend bool operator==(const Occupancy&, const Occupancy&) = default;
};

/// To which claims a process belongs, by its ancestors, and whose it is.
struct Job {
  std::vector<Ticket> claims;
  std::optional<uid_t> uid;
  std::vector<Ticket> not_of;  // it lived, or comes of what lived, before their processes did
};

/// What is known of the processes on shared devices; of a pid that is not in it, nothing.
using Jobs = std::map<pid_t, Job>;

/// Does the claim have this device, or a part of it? It does if it names the device, or the card
/// that the device is an instance of.
bool occupies(const Claim& claim, const Device& device);

/// The claims that have this device, or a part of it, in the same order.
std::vector<Claim> claims_on(const Device& device, const std::vector<Claim>& claims);

/// Was the claim made inside this one, on the same device, by its own user?
bool is_outer_of(const Claim& outer, const Claim& claim);

/// Which claims have this device, or a part of it, for a request inside the claim `within` (0:
/// inside none): there only those count that other parts of the same job made, and one inside
/// another that counts is a part of it.
std::vector<Claim> claims_that_count(const Device& device, const std::vector<Claim>& claims,
                                     Ticket within);

/// Which of these claims, all on one device, the process works for: the innermost that it comes of.
/// Else it is an orphan, and works for the first one of its user that it can come of; 0: for none.
Ticket claim_of_process(pid_t pid, const Jobs& jobs, const std::vector<Claim>& claims);

/// For each device of the snapshot, what the claims that count have of it.
std::vector<Occupancy> occupancy(const Snapshot& snapshot, const std::vector<Claim>& claims,
                                 Ticket within, const Jobs& jobs = {});

/// Memory of a device that can be had in all, in MiB: 0 where its size is not known.
std::int64_t usable_mib(const Device& device);

/// What is left of it for shares, in MiB: of all that can be had, less the larger of what is in use
/// and of what is promised. May be negative.
std::int64_t room_mib(const Device& device, const Occupancy& occupancy);

/// One more claim takes so much of the device as these criteria say.
void take(const Device& device, Occupancy& occupancy, const Criteria& criteria);

/// Was a claim on this device let go, of those that there were `before`? Those up to `within` do
/// not count.
bool was_released(const Device& device, const std::vector<Claim>& before,
                  const std::vector<Claim>& now, Ticket within);

}  // namespace gpu_gate
