#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "gate/claims.h"
#include "gpu/device.h"

namespace gpu_gate {

/// The user and the job behind a claim.
struct Claimant {
  uid_t uid = 0;
  std::string user;  // the name, or the number where there is none
  // As it can be seen now; nothing where the claim has no record of its owner's. Where the process
  // of the record has ended, one that holds the claim stands for it; pid 0: none can be seen.
  std::optional<Owner> job;
  std::optional<std::int64_t> share_mib = std::nullopt;  // nothing: all of the device
};

/// A process on a device and what /proc tells of it.
struct DeviceProcess {
  GpuProcess process;
  std::optional<uid_t> uid;  // nothing where the process cannot be seen
  std::string user;          // "" likewise
  bool ended = false;        // and is listed only until the driver has freed its memory
  std::string command;       // arbitrary bytes
};

/// What keeps a device from others, by name.
struct DeviceUse {
  std::vector<Claimant> claimants;       // the oldest first
  std::vector<DeviceProcess> processes;  // its occupants
};

/// Reads the claim's record and /proc; may ask a directory service for the user's name.
Claimant claimant_of(const Claims& claims, const Claim& claim);

/// Reads /proc; may ask a directory service for the user's name.
DeviceProcess describe(const GpuProcess& process);

/// Who holds the device from a request inside the claim `within` (by claims that count for it), and
/// whose processes are on it.
DeviceUse use_of(const Device& device, const Claims& claims, const std::vector<Claim>& live,
                 Ticket within);

}  // namespace gpu_gate
