#pragma once

#include <cstddef>
#include <vector>

#include "gpu/device.h"

namespace gpu_gate {

/// Should the device be left alone as long as others will do? Memory of it has failed.
bool wants_care(const Device& device);

/// Of `equals`, so many as `count`, at most all of them: those of which fewest want care; of such
/// sets the one with the greatest sum of scores between its devices (Links); then the one that
/// breaks up least of the eligible devices, by the sum of scores between its own and those that it
/// leaves; then the one that comes first in the order of `equals`, the best device first. All are
/// positions in the snapshot; `equals` is a part of `eligible`. Pure.
///
/// Tries all sets up to kMostSets of them; of more it takes the best of those that grow from each
/// device by the best next one.
std::vector<std::size_t> best_linked_set(const std::vector<std::size_t>& equals,
                                         const std::vector<std::size_t>& eligible,
                                         std::size_t count, const Snapshot& snapshot);

/// All sets of 8 of 16 devices are 12,870, and of 4 of 32 are 35,960.
constexpr std::size_t kMostSets = 40000;

}  // namespace gpu_gate
