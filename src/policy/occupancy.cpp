#include "policy/occupancy.h"

#include <algorithm>

namespace gpu_gate {

bool occupies(const Claim& claim, const Device& device) {
  return claim.uuid == device.uuid || (!device.card_uuid.empty() && claim.uuid == device.card_uuid);
}

std::vector<Occupancy> occupancy(const Snapshot& snapshot, const std::vector<Claim>& claims,
                                 Ticket within) {
  std::vector<Occupancy> list;
  list.reserve(snapshot.devices.size());
  for (const Device& device : snapshot.devices) {
    list.push_back({.whole = std::any_of(claims.begin(), claims.end(), [&](const Claim& claim) {
                      return claim.ticket > within && occupies(claim, device);
                    })});
  }
  return list;
}

bool was_released(const std::vector<Occupancy>& before, const std::vector<Occupancy>& now) {
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (before[i].whole && !now[i].whole) return true;
  }
  return false;
}

}  // namespace gpu_gate
