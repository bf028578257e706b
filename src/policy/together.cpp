#include "policy/together.h"

#include <algorithm>
#include <utility>

namespace gpu_gate {

std::vector<std::vector<std::size_t>> together(const std::vector<std::size_t>& positions, int count,
                                               const Snapshot& snapshot) {
  std::vector<std::size_t> cards;
  std::vector<std::size_t> instances;
  for (const std::size_t position : positions) {
    const bool apart = count > 1 && snapshot.devices[position].instance;
    (apart ? instances : cards).push_back(position);
  }
  std::vector<std::vector<std::size_t>> groups;
  if (!cards.empty()) groups.push_back(std::move(cards));
  if (!instances.empty()) groups.push_back(std::move(instances));
  return groups;
}

std::size_t most_together(const std::vector<std::size_t>& positions, int count,
                          const Snapshot& snapshot) {
  const auto instances = static_cast<std::size_t>(std::count_if(
      positions.begin(), positions.end(),
      [&](std::size_t position) { return count > 1 && snapshot.devices[position].instance; }));
  return std::max(instances, positions.size() - instances);
}

}  // namespace gpu_gate
