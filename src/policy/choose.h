#pragma once

#include <cstddef>
#include <vector>

#include "gpu/device.h"

namespace gpu_gate {

/// The best `count` of the candidates (positions in the snapshot, at least as many), in ascending
/// order: most free memory first, then lowest utilisation (an unknown one after all known ones),
/// then lowest index. A pure function of the snapshot.
std::vector<std::size_t> choose(std::vector<std::size_t> candidates, std::size_t count,
                                const Snapshot& snapshot);

}  // namespace gpu_gate
