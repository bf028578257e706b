#include "policy/choose.h"

#include <algorithm>
#include <tuple>

namespace gpu_gate {
namespace {

/// Lower is better.
auto rank(const Choice& choice, std::size_t position) {
  constexpr int kUnknown = 101;  // percent
  const Device& device = choice.snapshot.devices[position];
  const Occupancy& occupancy = choice.occupancy[position];
  const bool share = choice.criteria.share_mib.has_value();
  return std::make_tuple(device.repair != Repair::none, share && !occupancy.shared,
                         share ? room_mib(device, occupancy) : -device.memory_free_mib,
                         device.utilization_pct.value_or(kUnknown), device.index);
}

}  // namespace

std::vector<std::size_t> choose(std::vector<std::size_t> candidates, const Choice& choice) {
  std::sort(candidates.begin(), candidates.end(),
            [&](std::size_t a, std::size_t b) { return rank(choice, a) < rank(choice, b); });
  candidates.resize(static_cast<std::size_t>(choice.criteria.count));
  std::sort(candidates.begin(), candidates.end());
  return candidates;
}

}  // namespace gpu_gate
