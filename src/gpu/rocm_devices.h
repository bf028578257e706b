#pragma once

#include <vector>

#include "gpu/visible_devices.h"

namespace gpu_gate {

/// Which devices of AMD's these lists leave, as positions in the snapshot, ascending.
///
/// ROCR_VISIBLE_DEVICES as the runtime reads it (ROCr, amd_filter_device.cpp): an empty one shows
/// none; an entry is a number, which counts the devices that this user can open, or the first 5 to
/// 20 characters of a UUID in any case; one that names no device, several, or one that was named
/// before hides itself and all after it. The others as HIP reads them (clr, rocdevice.cpp): numbers
/// in the list that is left so far, or UUIDs; one that names no device hides itself and all after
/// it, and one that was named before counts once.
std::vector<std::size_t> rocm_devices(const std::vector<VisibleList>& lists,
                                      const Snapshot& snapshot);

}  // namespace gpu_gate
