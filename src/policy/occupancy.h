#pragma once

#include <vector>

#include "gpu/device.h"
#include "policy/claim.h"

namespace gpu_gate {

/// What live claims have of one device.
struct Occupancy {
  bool whole = false;  // all of it
};

/// Does the claim have this device? It does if it names the device, or the card that the device is
/// an instance of.
bool occupies(const Claim& claim, const Device& device);

/// For each device of the snapshot, what claims have of it as a request inside the claim `within`
/// (0: inside none) sees it: only claims with a higher ticket count, which are those that other
/// parts of the same job made.
std::vector<Occupancy> occupancy(const Snapshot& snapshot, const std::vector<Claim>& claims,
                                 Ticket within);

/// Was a device that was claimed `before` let go until `now`? Both are of the same snapshot.
bool was_released(const std::vector<Occupancy>& before, const std::vector<Occupancy>& now);

}  // namespace gpu_gate
