#pragma once

#include <cstddef>
#include <vector>

#include "gpu/device.h"
#include "policy/criteria.h"
#include "policy/occupancy.h"

namespace gpu_gate {

/// What a choice is made by. `occupancy` has an entry for each device of the snapshot.
struct Choice {
  const Snapshot& snapshot;
  const std::vector<Occupancy>& occupancy;
  const Criteria& criteria;
};

/// The best devices of the candidates (positions in the snapshot), as many as the criteria count,
/// of at least as many candidates; in ascending order. Those that wait for a repair come after
/// all others. For whole devices: most free memory first,
/// then lowest utilisation (an unknown one after all known ones), then lowest index. For shares:
/// those that have shares already, then least room left (large room stays for large requests), then
/// utilisation and index as above. Pure.
std::vector<std::size_t> choose(std::vector<std::size_t> candidates, const Choice& choice);

}  // namespace gpu_gate
