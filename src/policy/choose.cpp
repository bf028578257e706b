#include "policy/choose.h"

#include <algorithm>
#include <tuple>

namespace gpu_gate {
namespace {

/// Lower is better.
auto rank(const Device& device) {
  constexpr int kUnknown = 101;  // percent
  return std::make_tuple(-device.memory_free_mib, device.utilization_pct.value_or(kUnknown),
                         device.index);
}

}  // namespace

std::vector<std::size_t> choose(std::vector<std::size_t> candidates, std::size_t count,
                                const Snapshot& snapshot) {
  std::sort(candidates.begin(), candidates.end(), [&](std::size_t a, std::size_t b) {
    return rank(snapshot.devices[a]) < rank(snapshot.devices[b]);
  });
  candidates.resize(count);
  std::sort(candidates.begin(), candidates.end());
  return candidates;
}

}  // namespace gpu_gate
