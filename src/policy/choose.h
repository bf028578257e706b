#pragma once

#include <cstddef>
#include <vector>

#include "gpu/device.h"
#include "policy/criteria.h"
#include "policy/occupancy.h"
#include "policy/request.h"

namespace gpu_gate {

/// What a choice is made by. `occupancy` has an entry for each device of the snapshot.
struct Choice {
  const Snapshot& snapshot;
  const std::vector<Occupancy>& occupancy;
  const Criteria& criteria;
};

/// The best devices of the candidates (positions in the snapshot) that may be had together, as many
/// as the criteria count, in ascending order; none where they are too few. For whole devices: most
/// free memory first, then lowest utilisation (an unknown one after all known ones), then lowest
/// index; one that wants care comes after all others. Where anything is known of links, they decide
/// among those that are as good (best_linked_set). For shares: those that have shares already, then
/// least room left (large room stays for large requests), then utilisation and index as above.
/// Pure.
std::vector<std::size_t> choose(const std::vector<std::size_t>& candidates, const Choice& choice);

/// Would links decide which devices the request gets, if it were alone in line? Only where more are
/// as good as it wants. `occupancy`: an entry for each device. Pure.
bool links_matter(const Snapshot& snapshot, const std::vector<Occupancy>& occupancy,
                  const Request& request);

}  // namespace gpu_gate
