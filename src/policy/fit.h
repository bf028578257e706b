#pragma once

#include <vector>

#include "gpu/device.h"
#include "policy/barred.h"
#include "policy/occupancy.h"
#include "policy/request.h"

namespace gpu_gate {

/// Whether a device is eligible for a request, and the first reason why not.
enum class Fit {
  usable,
  // Never on this machine:
  not_allowed,    // by Request::barred or ::allowed
  mig,            // MIG is on
  shared_memory,  // a share is asked for, and several instances have its memory
  too_small,      // less memory in all than asked for
  size_unknown,   // memory is asked for, and how much it has cannot be told
  // Not as it is now:
  unhealthy,    // Device::health says why
  claimed,      // a live claim has it
  occupied,     // processes of others are on it, or any where only one may be
  memory_held,  // memory is in use that belongs to no visible process
  memory_low,   // less memory free than asked for
  room_low,     // less room for shares than asked for
  busy,         // utilisation above what was asked for
  // Somebody ahead in line:
  reserved,  // has it kept for a request that cannot be served yet
  settling,  // could use it but not as it is now, and not for long enough yet
  // Its own user:
  over_limit,  // would hold more devices than one may (LinePolicy)
};

/// Could the device ever be eligible for the request?
bool could_ever(Fit fit);

/// Does the device only need time: would it be eligible without what is on it?
bool needs_time(Fit fit);

/// Memory that may be in use on a device that still counts as nobody's, besides what the driver
/// reserves and graphics clients hold: contexts of monitoring tools and of a display server.
constexpr std::int64_t kIdleMemoryMib = 512;

/// Memory that the graphics processes of a device that still counts as nobody's may hold in all: a
/// desktop. More is a renderer.
constexpr std::int64_t kDesktopMemoryMib = 2048;

/// The processes that make a device somebody's: those that compute, except an MPS server, and those
/// that draw where they are more than a desktop.
std::vector<GpuProcess> occupants(const Device& device);

/// The same without those that are the request's own.
std::vector<GpuProcess> strangers(const Device& device, const Request& request);

/// Is more memory in use on the device than the processes have that the driver shows, besides what
/// it reserves? No where it does not tell how much each has, or the system uses it as well.
bool has_unowned_memory(const Device& device);

/// How much of what is in use none of the processes has, in MiB; those whose memory is not told
/// have none.
std::int64_t unowned_mib(const Device& device);

/// Is this device eligible for this request, with nobody else in line?
Fit fit(const Device& device, const Request& request, const Occupancy& occupancy);

/// Memory asked for on each device, in MiB, be it free or as a share; 0: none.
std::int64_t memory_asked_mib(const Criteria& criteria);

/// The most memory that the request can have of the device: all that is usable of it, or of the
/// share inside which it asks. Nothing where that is not known.
std::optional<std::int64_t> most_mib(const Device& device, const Request& request);

/// How many of the devices could ever be eligible for the request together. `barred`: an entry for
/// each. Where no device of known size has the memory asked for, those of unknown size are not
/// hoped for.
int could_ever_count(const Snapshot& snapshot, const std::vector<Barred>& barred,
                     const Request& request);

}  // namespace gpu_gate
