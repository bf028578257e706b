#pragma once

#include <cstddef>
#include <vector>

#include "gpu/device.h"

namespace gpu_gate {

/// Which of these devices (positions in the snapshot) a request for so many may get together: for
/// one device, any of them. CUDA shows a program no card beside an instance: of more it is cards
/// alone or instances alone. In the same order; no group is empty.
std::vector<std::vector<std::size_t>> together(const std::vector<std::size_t>& positions, int count,
                                               const Snapshot& snapshot);

/// How many devices the largest of these groups has.
std::size_t most_together(const std::vector<std::size_t>& positions, int count,
                          const Snapshot& snapshot);

}  // namespace gpu_gate
